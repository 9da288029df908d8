"""What a data format is to this project. One file beside this one is one format; nothing registers it.

A format module gives:

    recognises(path) -> bool                         whether data looks like this format, by its content: magic
                                                     bytes, names of data sets, its metadata files; never raises
    describe(path) -> Contents                       what is in it, from its headers
    read(path, *, sensors=None, extra=False) -> Iterator[LoggedEpisode]
                                                     streams the episodes, in their order, with the values as they
                                                     stand in the file; ``sensors`` names those to read (None: all
                                                     vectors), ``extra`` asks for everything else that is numeric
    is_ours(path) -> bool              (optional)    whether the collect stage wrote it
    write(path, episodes, attributes)  (optional)    for the collect stage
    export(folder, episodes, about)    (optional)    our episodes, written so that the format's own tools open them

What is broken raises DataError with file, episode and step. What contradicts a manifest is not a format's
business: ``dataset.assembly`` makes an Episode of what was logged, and ``dataset.checks`` judges it.
A format holds one episode in memory at a time, and no more than one value a step of all of them.
"""
