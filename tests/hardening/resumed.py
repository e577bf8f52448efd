"""Rows of a long run, one JSON object a line: appended as they come, and what is there is not done again."""

import json
import time


def kept(path):
    """The rows that are there; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def appended(path, jobs, one, seconds):
    """The row ``one(*job)`` of each job that begins before the time is over, written at once."""
    rows, end = [], time.monotonic() + seconds
    with path.open("a") as file:
        for job in jobs:
            if time.monotonic() > end:
                break
            rows.append(one(*job))
            file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
    return rows
