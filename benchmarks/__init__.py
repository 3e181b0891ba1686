"""isohub beside the limits of the machine, and beside its peers.

``python -m benchmarks`` measures the rows, ``python -m benchmarks.peers`` the peers. A row has isohub and its limit in one run,
taken in turns, so that what else the machine does in the meantime falls on both.

    measure.py    turns, and what is said of a series of times
    target.py     what a row must reach, and a line of the table
    workplace.py  where environments and results are, and the Hub for them
    companion.py  other processes, asked for one thing at a time
    limits.py     the raw limits that processes of Python reach on this machine
    rows/         what is measured, one module a subject
    machine.py    what the figures were taken on
    report.py     JSON, Markdown and the marked parts of pages
    plots.py      pictures
    programs/     what runs in other processes, most of it without this package
    hubconfs/     the repositories that are called
    peers/        the same through other projects
"""
