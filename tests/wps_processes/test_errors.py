"""Every error of the jobs service, as each face tells it."""

import pytest

from landcover.errors import LandcoverError
from wps_processes import errors
from wps_processes.errors import AlreadyThere, InvalidInput, JobsError
from wps_processes.http.errors import http_error
from wps_processes.wps.exceptions import exception_of

# status of pages and JSON; code and status of WPS
TOLD = {
    "InvalidInput": (400, "InvalidParameterValue", 400),
    "MissingInput": (400, "MissingParameterValue", 400),
    "NoSuchOperation": (404, "NoApplicableCode", 400),
    "NoSuchJob": (404, "NoApplicableCode", 400),
    "NoSuchOutput": (404, "NoApplicableCode", 400),
    "OutputTooLarge": (413, "NoApplicableCode", 400),
    "JobOver": (409, "NoApplicableCode", 400),
    "JobFailed": (400, "NoApplicableCode", 400),
    "TookTooLong": (400, "NoApplicableCode", 400),
    "QuotaReached": (400, "NotEnoughStorage", 400),
    "UploadRefused": (400, "NoApplicableCode", 400),
    "NoSuchUpload": (404, "NoApplicableCode", 400),
    "UploadConflict": (409, "NoApplicableCode", 400),
    "AlreadyThere": (409, "NoApplicableCode", 400),
    "UploadBusy": (423, "NoApplicableCode", 400),
    "NotPermitted": (403, "NoApplicableCode", 400),
    "TryLater": (503, "ServerBusy", 503),
    "Busy": (503, "ServerBusy", 503),
    "Unavailable": (503, "ServerBusy", 503),
}


def kinds():
    return {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, JobsError) and kind is not JobsError
    }


@pytest.mark.parametrize("name", TOLD)
def test_each_face_tells_an_error_in_its_words(name):
    kind = kinds()[name]
    is_input = issubclass(kind, InvalidInput)
    is_about_a_name = is_input or kind is AlreadyThere
    error = kind("3 are wrong", "seed") if is_about_a_name else kind("3 are wrong")
    status, code, wps_status = TOLD[name]
    told = http_error(error)
    assert (told.code, told.description) == (status, "3 are wrong")
    report = exception_of(error)
    assert (report.name, report.code) == (code, wps_status)
    assert report.description.startswith("3 are wrong")
    assert report.locator == ("seed" if is_input else "")
    retry = dict(told.get_headers()).get("Retry-After")
    assert retry == (str(error.retry_seconds) if status == 503 else None)


def test_every_error_is_told_and_drawn():
    assert set(kinds()) == set(TOLD)
    for name in kinds():
        assert f"─ {name} " in errors.__doc__
    assert issubclass(JobsError, LandcoverError)
