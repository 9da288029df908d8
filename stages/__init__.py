"""The offline stages, one file per DVC stage: paths in, one call, paths out, a summary."""
