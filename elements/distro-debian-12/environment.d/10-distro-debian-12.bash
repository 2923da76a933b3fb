export DISTRO_NAME=debian
export DIB_RELEASE=bookworm
export DIB_INIT_SYSTEM=systemd
# debconf must not wait for answers in any hook, not only in install-packages.
export DEBIAN_FRONTEND=noninteractive
