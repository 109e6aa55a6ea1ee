"""What of KubeSpawner is private and used here all the same: a new version may change it.

A test compares these with the KubeSpawner that is installed, and with what `PodSpawner` uses.
Tried with the version below; after an upgrade, read first what has changed in these methods.
"""

TRIED_WITH = "7.1.0"

OVERRIDDEN = {
    "_start": (),
    "_make_create_pod_request": ("pod", "request_timeout"),
    "_make_delete_pod_request": (
        "pod_name",
        "delete_options",
        "grace_seconds",
        "request_timeout",
    ),
    "_start_reflector": ("kind", "reflector_class", "replace", "kwargs"),
}
"""Methods that `PodSpawner` replaces, with their parameters."""

CALLED = {
    "_start_watching_pods": ("replace",),
    "_start_watching_events": ("replace",),
    "_get_reflector_key": ("kind",),
}
"""Methods that it calls besides."""
