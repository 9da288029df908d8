"""How fast we learn: every algorithm's updates a second, beside d3rlpy's own ``fit``, bare torch and bare products.

``timing`` lets the sides take turns, ``contenders`` are the sides (``peers`` gives d3rlpy's the same settings, ``bare``
is plain torch, ``bounds`` counts and multiplies matrices), ``growth`` measures what more data costs, ``summary`` makes
rows, claims and the table of it. Data are made up, of the size of a hand at a door (``made_up``).
"""
