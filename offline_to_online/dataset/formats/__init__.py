"""What a data format is to this project. One file beside this one is one format; nothing registers it.

A format module gives:

    recognises(path) -> bool                         whether data looks like this format
    read(path, manifest) -> Iterator[Episode]        streams the episodes, in their order
    steps(path) -> int                 (optional)    steps in the data, to count those that were dropped
    logs_cost(path) -> bool            (optional)    whether it logs the constraint cost, which then is kept
    is_ours(path) -> bool              (optional)    whether the collect stage wrote it
    write(path, episodes, attributes)  (optional)    for the collect stage
"""
