"""Every published process, three lines each; all else follows from the operation."""

from landcover.balancing import balance_samples
from landcover.classification.mapping import classify_scene
from landcover.classification.training import train_classifier
from landcover.extraction import extract_samples
from landcover.quality.assessment import assess_quality
from landcover.quality.comparison import compare_maps
from landcover.quality.reference_sample import draw_reference_sample
from landcover.radiometry import check_radiometry
from wps_processes.adapter import OperationProcess


class ExtractSamples(OperationProcess):
    """Cut labelled samples out of a scene."""

    function = extract_samples
    version = "1.0"


class BalanceSamples(OperationProcess):
    """Thin the samples so that rare spectra survive and frequent ones are decimated."""

    function = balance_samples
    version = "1.0"


class TrainClassifier(OperationProcess):
    """Train a classifier and measure it on places it has not seen."""

    function = train_classifier
    version = "1.0"


class CheckRadiometry(OperationProcess):
    """Tell whether a model can be trusted with a scene."""

    function = check_radiometry
    version = "1.0"


class ClassifyScene(OperationProcess):
    """Classify every valid pixel of a scene."""

    function = classify_scene
    version = "1.0"


class DrawReferenceSample(OperationProcess):
    """Draw random points of each class of a map, to be labelled as its reference."""

    function = draw_reference_sample
    version = "1.0"


class AssessQuality(OperationProcess):
    """Compare a map with a reference."""

    function = assess_quality
    version = "1.0"


class CompareMaps(OperationProcess):
    """Tell which of two maps agrees better with a reference."""

    function = compare_maps
    version = "1.0"


PROCESSES: tuple[type[OperationProcess], ...] = (
    ExtractSamples,
    BalanceSamples,
    TrainClassifier,
    CheckRadiometry,
    ClassifyScene,
    DrawReferenceSample,
    AssessQuality,
    CompareMaps,
)
