# enter.sh ROOT COMMAND...: runs a command in the system below ROOT as systemd would run the service there: a read-only
# system, devices and temporary files of its own, no home. Call it as root in namespaces of its own:
# unshare --mount --pid --fork sh enter.sh ROOT COMMAND...
set -e
root=$1
shift
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
# ProtectSystem=strict: all that is not named is read-only.
mount -o remount,bind,ro "$root"
mount -t proc proc proc
# PrivateDevices=yes
mount -t tmpfs -o nosuid,noexec,mode=755 devices dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o nosuid,noexec,newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o nosuid,nodev,mode=1777 shm dev/shm
# PrivateTmp=yes, ProtectHome=yes
mount -t tmpfs -o mode=1777 tmp tmp
for folder in home root; do
    mount -t tmpfs -o ro,nosuid,nodev,noexec,mode=000 none "$folder"
done
# StateDirectory, CacheDirectory
user=$(sed -n 's/^agb-server:[^:]*:\([0-9]*:[0-9]*\):.*/\1/p' etc/passwd)
for folder in var/lib/agb-server var/cache/agb-server; do
    mount -t tmpfs -o "mode=750,uid=${user%:*},gid=${user#*:}" state "$folder"
done
pivot_root . mnt
umount -l /mnt
exec setpriv --reuid "${user%:*}" --regid "${user#*:}" --init-groups --no-new-privs --bounding-set=-all "$@"
