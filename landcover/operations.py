"""The operations offered, in the order of a mapping campaign."""

from landcover.balancing import balance_samples
from landcover.classification.mapping import classify_scene
from landcover.classification.training import train_classifier
from landcover.extraction import extract_samples
from landcover.operation import Operation, Resources
from landcover.quality.assessment import assess_quality
from landcover.quality.comparison import compare_maps
from landcover.quality.reference_sample import draw_reference_sample
from landcover.radiometry import check_radiometry

OPERATIONS = (
    Operation.of(extract_samples),
    Operation.of(balance_samples),
    Operation.of(train_classifier, lambda inputs: Resources(cores=2, memory_mib=4096)),
    Operation.of(check_radiometry),
    Operation.of(classify_scene, lambda inputs: Resources(cores=2, memory_mib=4096)),
    Operation.of(draw_reference_sample),
    Operation.of(assess_quality),
    Operation.of(compare_maps),
)


def by_identifier(identifier: str) -> Operation:
    """Return one operation.

    Raises:
        KeyError: there is none of this name.
    """
    return {operation.identifier: operation for operation in OPERATIONS}[identifier]
