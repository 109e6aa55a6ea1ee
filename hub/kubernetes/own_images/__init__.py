"""Images that users bring, looked at where they lie before a server starts in one.

names.py      what an image is called, and from which registry
registry.py   asks a registry
manifests.py  what a registry says of an image
settings.py   what an administrator allows, and the look itself

Where the hub may connect to is in portal/addresses.py.
"""

from hub.kubernetes.own_images.settings import OwnImages

__all__ = ["OwnImages"]
