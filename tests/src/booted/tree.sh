# Makes the file tree of one booted Debian, and boots it once for each line of standard input. Run by mod.rs in a mount
# namespace of its own, so that the tree outlives a boot and goes with this process.
#
# BASE      an empty directory to mount on
# PACKAGES  unpacked Debian packages that this system lacks, separated by blanks
# CHECKOUT  the project's directory
# PROGRAMS  the directory with the two programs as cargo built them
# CGROUP    a cgroup for the booted system
# BOOT      the script that becomes its first process
set -eu
root=$BASE/root

# In memory: the layer that takes the changes cannot lie on an overlay, on which this system itself may run.
mount -t tmpfs -o mode=755 booted "$BASE"
mkdir "$BASE/upper" "$BASE/work" "$root"
mount -t overlay booted -o "lowerdir=/,upperdir=$BASE/upper,workdir=$BASE/work" "$root"
for package in $PACKAGES; do
    tar -C "$package" -cf - . | tar -C "$root" --keep-directory-symlink --no-overwrite-dir -xf -
done

# Nothing of what this system runs at its boot, and nothing of an installation that is being tested here.
cd "$root"
rm -rf etc/systemd/system etc/init.d etc/rc?.d etc/fstab etc/crypttab etc/cron.d
rm -rf etc/onionbalance var/lib/onionbalance var/log/onionbalance usr/lib/systemd/system/onionbalance* \
    usr/lib/sysusers.d/onionbalance* usr/lib/tmpfiles.d/onionbalance* usr/bin/onionbalance* usr/share/doc/onionbalance*
rm -rf etc/tor/torrc var/lib/tor var/log/journal
# With it, installed packages start no services, as in a container that has no first process.
rm -f usr/sbin/policy-rc.d
mkdir -p etc/systemd/system etc/tor var/log/journal
# Kernel, devices, clock and logins are the other system's.
for unit in systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udev-trigger.service \
    systemd-timesyncd.service systemd-modules-load.service systemd-sysctl.service systemd-remount-fs.service \
    systemd-logind.service dbus.service dbus.socket getty.target systemd-firstboot.service \
    dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
    sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount; do
    ln -s /dev/null "etc/systemd/system/$unit"
done
# Without an id systemd takes this for the first boot and enables every unit that there is.
echo 6f6e696f6e62616c616e636500000001 >etc/machine-id

# What a reader of the documents has: a checkout, built.
mkdir -p root/onionbalance/target/release
cp -r "$CHECKOUT/packaging" "$CHECKOUT/README.md" "$CHECKOUT/config.yaml.example" root/onionbalance/
mount --bind "$PROGRAMS" root/onionbalance/target/release

cd /
while read -r _; do
    # shellcheck disable=SC2016
    sh -ec 'echo $$ >"$CGROUP/cgroup.procs"
        exec unshare --mount --pid --fork --kill-child --uts --ipc --cgroup --propagation private sh -ec "$BOOT"' &
    echo "booting $!"
    wait $! || echo "the first process ended with $?"
    echo off
done
