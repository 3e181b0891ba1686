"""The life of a worker: each event in each state."""

from __future__ import annotations

import itertools
import threading

import pytest

from isohub.supervise.lifecycle import Event, Lifecycle, State

PATHS = {
    State.STARTING: [],
    State.SERVING: [Event.READY],
    State.SUSPECT: [Event.READY, Event.SILENT],
    State.CLOSING: [Event.READY, Event.CLOSE],
    State.DEAD: [Event.EXIT],
    State.CLOSED: [Event.CLOSE, Event.EXIT],
}
TABLE = {
    (State.STARTING, Event.READY): State.SERVING,
    (State.STARTING, Event.SILENT): State.STARTING,
    (State.STARTING, Event.BEAT): State.STARTING,
    (State.STARTING, Event.CLOSE): State.CLOSING,
    (State.STARTING, Event.EXIT): State.DEAD,
    (State.SERVING, Event.READY): None,
    (State.SERVING, Event.SILENT): State.SUSPECT,
    (State.SERVING, Event.BEAT): State.SERVING,
    (State.SERVING, Event.CLOSE): State.CLOSING,
    (State.SERVING, Event.EXIT): State.DEAD,
    (State.SUSPECT, Event.READY): None,
    (State.SUSPECT, Event.SILENT): State.SUSPECT,
    (State.SUSPECT, Event.BEAT): State.SERVING,
    (State.SUSPECT, Event.CLOSE): State.CLOSING,
    (State.SUSPECT, Event.EXIT): State.DEAD,
    (State.CLOSING, Event.READY): State.CLOSING,
    (State.CLOSING, Event.SILENT): State.CLOSING,
    (State.CLOSING, Event.BEAT): State.CLOSING,
    (State.CLOSING, Event.CLOSE): State.CLOSING,
    (State.CLOSING, Event.EXIT): State.CLOSED,
    (State.DEAD, Event.READY): State.DEAD,
    (State.DEAD, Event.SILENT): State.DEAD,
    (State.DEAD, Event.BEAT): State.DEAD,
    (State.DEAD, Event.CLOSE): State.DEAD,
    (State.DEAD, Event.EXIT): None,
    (State.CLOSED, Event.READY): State.CLOSED,
    (State.CLOSED, Event.SILENT): State.CLOSED,
    (State.CLOSED, Event.BEAT): State.CLOSED,
    (State.CLOSED, Event.CLOSE): State.CLOSED,
    (State.CLOSED, Event.EXIT): None,
}


def in_state(state: State) -> Lifecycle:
    lifecycle = Lifecycle()
    for event in PATHS[state]:
        lifecycle.on(event)
    assert lifecycle.state is state
    return lifecycle


def test_the_table_has_every_event_in_every_state() -> None:
    assert set(TABLE) == set(itertools.product(State, Event))


@pytest.mark.parametrize(("state", "event"), TABLE, ids=lambda item: item.value)
def test_an_event_leads_where_the_table_says(state: State, event: Event) -> None:
    lifecycle, following = in_state(state), TABLE[state, event]
    if following is None:
        with pytest.raises(RuntimeError, match=f"{state.value} cannot become {event.value}"):
            lifecycle.on(event)
        assert lifecycle.state is state
    else:
        assert lifecycle.on(event) is following
        assert lifecycle.state is following


@pytest.mark.parametrize("state", State)
def test_calls_make_sense_until_it_is_told_to_end_or_ends(state: State) -> None:
    assert in_state(state).alive == (state in {State.STARTING, State.SERVING, State.SUSPECT})


def test_of_many_exits_only_one_counts() -> None:
    lifecycle = in_state(State.SERVING)
    refused = []

    def exit() -> None:
        try:
            lifecycle.on(Event.EXIT)
        except RuntimeError:
            refused.append(threading.get_ident())

    threads = [threading.Thread(target=exit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (lifecycle.state, len(refused)) == (State.DEAD, 7)
