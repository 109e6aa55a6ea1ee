"""What a job gave, as a page shows it: values, files, and the forms that take them on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from landcover.operation import Operation, Output, Range
from wps_processes.jobs.ledger import Job
from wps_processes.web.forms import form_with


@dataclass(frozen=True)
class Use:
    """Another operation that takes a result.

    Attributes:
        operation: its identifier.
        href: its form with the result filled in.
    """

    operation: str
    href: str


@dataclass(frozen=True)
class Result:
    """One output of a successful job.

    Attributes:
        name: of the output.
        description: what it is.
        value: the value in figures that people read, or the storage name of what was written.
        href: where a written file, or the archive of a folder, is served; "" for values.
        is_written: whether it is a file or a folder.
        is_image: whether the file can be shown on a page.
        beside: name and address of each file that lies beside it and belongs to it.
        uses: the operations that take it.
    """

    name: str
    description: str
    value: str
    href: str
    is_written: bool
    is_image: bool
    beside: tuple[tuple[str, str], ...]
    uses: tuple[Use, ...]

    @property
    def raster(self) -> str:
        """Where a GeoTIFF lies below its owner's home, whose server draws it; else ""."""
        is_raster = self.is_written and self.value.endswith(".tif")
        return self.value.removeprefix("home/") if is_raster else ""


def results_of(job: Job, operations: Mapping[str, Operation], prefix: str) -> list[Result]:
    """Return a job's results in the order of its operation; none before it is successful.

    Args:
        job: any job, of an operation that may be published no more.
        operations: the published ones by identifier.
        prefix: path under which the service is reached.
    """
    operation = operations.get(job.operation)
    if operation is None or job.outputs is None:
        return []
    return [
        Result(
            name=output.name,
            description=output.description,
            value=_readable(output, job.outputs[output.name]),
            href=f"{prefix}outputs/{job.id}/{output.filename}" if output.is_path else "",
            is_written=output.is_path,
            is_image=output.media_type == "image/png",
            beside=tuple(
                (name, f"{prefix}outputs/{job.id}/{name}") for name in output.files_beside
            ),
            uses=tuple(_uses(output, job.outputs[output.name], operations, prefix)),
        )
        for output in operation.outputs
        if output.name in job.outputs
    ]


def _readable(output: Output, value: Any) -> str:
    """Return a value with as many digits as it deserves; shares in percent.

    The whole of it stands in the job's JSON.
    """
    if value is None:
        return "not defined"
    if output.kind == "int":
        return f"{value:,}"
    if output.kind != "float":
        return str(value)
    if output.name == "p_value":
        return "under 0.001" if value < 0.001 else f"{value:.3f}"
    return f"{100 * value:.1f} %" if output.range == Range(0, 1) else f"{value:.3f}"


def _uses(
    output: Output, value: Any, operations: Mapping[str, Operation], prefix: str
) -> list[Use]:
    """Return the uses of a written output: an input of its name and kind is meant for it."""
    return [
        Use(identifier, prefix + form_with(identifier, {output.name: value}))
        for identifier, operation in operations.items()
        for declared in operation.inputs
        if output.is_path and (declared.name, declared.kind) == (output.name, output.kind)
    ]
