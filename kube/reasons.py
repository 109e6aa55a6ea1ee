"""The reasons by which the kubelet says why a container does not run.

They are part of no API; the lists follow the kubelet's sources (pkg/kubelet/images,
pkg/kubelet/kuberuntime) and what was seen on nodes.
"""

WRONG_IMAGES = ("InvalidImageName", "ErrImageNeverPull")
"""The image can never be pulled under its name."""

PULL_FAILURES = (
    "ErrImagePull",
    "ImagePullBackOff",
    "ImageInspectError",
    "RegistryUnavailable",
    *WRONG_IMAGES,
)
"""The image could not be pulled; all but the wrong ones are tried again and again."""

CREATION_FAILURES = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
"""The container could not be made; that is tried again and again."""

NEVER_RAN = ("StartError", "ContainerCannotRun")
"""The container's program was never begun; the words are the runtime's."""
