# Install Debian packages into an image: sh debian.sh PACKAGE...
# APT_MIRROR, as https://host, stands in for Debian's own host in this step and is not left behind.
set -eu
sources=/etc/apt/sources.list.d/debian.sources
if [ -n "${APT_MIRROR:-}" ]; then
  cp "$sources" /tmp/debian.sources
  sed --in-place --regexp-extended "s|^URIs: https?://[^/]+|URIs: ${APT_MIRROR%/}|" "$sources"
fi
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
if [ -n "${APT_MIRROR:-}" ]; then
  mv /tmp/debian.sources "$sources"
fi
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/log/alternatives.log
