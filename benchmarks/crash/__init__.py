"""Kills: is a run that was killed anywhere, and gone on with, the run that would have been?"""
