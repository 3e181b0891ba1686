"""One module a peer, each with a class ``Worker``: made, it starts a worker; ``next_number`` and ``plus_one`` call it."""
