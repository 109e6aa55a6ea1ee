"""Accept or reject training samples, and say why; who did it stays with them."""

import json
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime

from landcover.errors import InputError
from landcover.samples.versions.ledger import Committed, Ledger
from landcover.samples.versions.record import REVIEWS, Record


def review(
    ledger: Ledger, ids: Collection[str], verdict: str, reviewer: str, comment: str = ""
) -> Committed:
    """Commit what somebody thinks of samples.

    Args:
        ledger: that holds them.
        ids: of the samples.
        verdict: `accepted`, `rejected`, or "" for neither.
        reviewer: who judged.
        comment: added to those of others; empty for none.

    Raises:
        InputError: a sample is not in the newest version, or the verdict is unknown.
    """
    if verdict not in REVIEWS:
        raise InputError(f"the verdict is {verdict}, it needs to be accepted or rejected")
    number = ledger.last
    known = ledger.records(ledger.manifest(number))
    missing = sorted(set(ids) - known.keys())
    if missing:
        raise InputError(f"version {number} has no sample {missing[0]}")
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {"by": reviewer, "time": time, "text": comment}
    records = [_reviewed(known[id_], verdict, reviewer, said) for id_ in dict.fromkeys(ids)]
    return ledger.commit(records, (), reviewer, base=number, message=comment)


def _reviewed(record: Record, verdict: str, reviewer: str, said: dict[str, str]) -> Record:
    comments = json.loads(record.comments) if record.comments else []
    comments = comments if isinstance(comments, list) else [comments]
    comments += [said] if said["text"] else []
    return replace(
        record,
        version=record.version + 1,
        review=verdict,
        validated_by=reviewer if verdict else "",
        comments=json.dumps(comments, ensure_ascii=False, sort_keys=True) if comments else "",
    )
