# The first process of a booted Debian until it becomes systemd. Its namespaces of mounts, processes, host name, IPC and
# cgroups are its own; the network is the test's.
set -eu
root=$BASE/root
mount -t proc proc "$root/proc"
echo booted >"$root/proc/sys/kernel/hostname"
# The kernel's settings are everybody's.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir "$root/run/lock"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
cd "$root"
mkdir -p old-root
pivot_root . old-root
cd /
umount -l /old-root
# systemd mounts a service's credentials in a namespace of its own and lets them propagate from there.
mount --make-rshared /
# `container` tells systemd to leave the kernel alone; what it could still reach there goes with the capabilities.
exec setpriv --bounding-set=-sys_time,-sys_module,-sys_boot,-syslog,-wake_alarm \
    env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=multi-user.target --show-status=no --log-target=journal
