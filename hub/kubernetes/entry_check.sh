# Look at an image before a user's server starts in it, and say in one sentence how it is.
# It runs in the image itself, in an init container, as the user that the server will run as;
# of a foreign image no more is known than that it may have a POSIX shell.
#
#   sh -c "$(cat entry_check.sh)" entry-check VERSION GPUS FILE
#
# VERSION of the hub's JupyterHub, GPUS that the profile gives, FILE that takes the sentence.

hub=$1 gpus=$2 file=$3
series=${hub%.*} newline='
'

say() {
  printf '%s' "$1" >"$file"
  printf '%s\n' "$1"
}

refuse() {
  say "$1"
  exit 1
}

# prints the CUDA version up to which the driver goes, and the one that torch is built for;
# libcuda is asked because torch asks it, and torch's file is read because its import takes long
cuda() {
  python3 -c '
import ctypes, importlib.util, pathlib, re
def driver():
    version = ctypes.c_int()
    try:
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        pass
    return f"{version.value // 1000}.{version.value % 1000 // 10}"
def torch():
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return "none"
    text = pathlib.Path(spec.origin).with_name("version.py").read_text()
    found = re.search(r"^cuda\b.*=\s*[\"\x27]([0-9]+\.[0-9]+)", text, re.MULTILINE)
    return found[1] if found else "cpu"
print(driver(), torch())
'
}

command -v jupyterhub-singleuser >/dev/null || refuse "The image has no jupyterhub-singleuser:\
 add pip install 'jupyterhub==$series.*' jupyterlab to its recipe."
version=$(jupyterhub-singleuser --version) || refuse "The image's jupyterhub-singleuser does not\
 start: add pip install 'jupyterhub==$series.*' jupyterlab to its recipe."
version=${version##*"$newline"}
[ "${version%%.*}" = "${hub%%.*}" ] || refuse "The image has JupyterHub $version, and the hub\
 needs ${hub%%.*}: add pip install 'jupyterhub==$series.*' to its recipe."
command -v jupyter-lab >/dev/null || refuse "The image has no JupyterLab:\
 add pip install jupyterlab to its recipe."
# asked, not tried: a full disk must not keep its owner from clearing it
if ! [ -d "$HOME" ] || ! [ -w "$HOME" ]; then
  refuse "The home directory $HOME cannot be written by $(id -u):$(id -g): an administrator should\
 look at the storage."
fi

if [ "$gpus" -eq 0 ]; then
  say "The image has JupyterHub $version."
  exit
fi

found=$(cuda) || refuse "The image has no python3 that runs: CUDA cannot be looked at, choose a\
 profile without GPUs."
driver=${found% *} torch=${found#* }
[ "$driver" != 0.0 ] || refuse "The image finds no NVIDIA driver\
 (NVIDIA_DRIVER_CAPABILITIES is ${NVIDIA_DRIVER_CAPABILITIES:-not set}, and compute is needed):\
 unset it in the recipe, or ask an administrator to look at the node."
case $torch in
  none) say "The image has JupyterHub $version and no torch; the driver goes up to CUDA $driver." ;;
  cpu) say "The image has JupyterHub $version, but its torch is built for processors only and\
 leaves the GPU idle." ;;
  *)
    # within one major version newer torch runs on older drivers
    [ "${torch%%.*}" -le "${driver%%.*}" ] || refuse "The image's torch is built for CUDA $torch,\
 and the node's driver goes up to CUDA $driver: take a torch built for CUDA ${driver%%.*}, or ask an\
 administrator for a newer driver."
    say "The image has JupyterHub $version and torch for CUDA $torch; the driver goes up to CUDA\
 $driver."
    ;;
esac
