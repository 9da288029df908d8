"""Broken data sets, some by every kind of damage in every format, against the real command line.

``logs`` makes sound recordings, ``slider`` is the robot of most of them; ``hdf5_files``, ``folders``, ``lerobot`` and
``rlds`` write them by each format's published layout. ``structural``, ``hashed`` and ``semantic`` break them,
``clean`` does not; ``judging`` runs the command line and says what a case is worth.
"""

import os

# Before h5py is imported: a lock lives as long as any process that inherited the file, and every case starts some.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
