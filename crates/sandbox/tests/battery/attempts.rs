//! The ways out that were tried: one line of Python each.

/// What an attempt is expected to do where nothing is isolated.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Bare {
    /// It works for every user: the attempt is a real one.
    Works,
    /// It works for root, or on some machines.
    Maybe,
}
use Bare::{Maybe, Works};

/// Python, with names of the world outside. What raises an error was stopped.
pub(crate) const ATTEMPTS: [(&str, Bare, &str); 153] = [
    // Files
    ("read the list of passwords", Maybe, "open('/etc/shadow').read()"),
    ("read a file of the server's", Works, "open(SECRET).read()"),
    ("write a file of the server's", Works, "open(SECRET, 'a')"),
    ("cut a file of the server's", Works, "os.truncate(SECRET, 6)"),
    ("hard-link a file of the server's", Maybe, "os.link(SECRET, 'hard')"),
    ("follow a link of its own to it", Works, "os.symlink(SECRET, 'soft'); open('soft').read()"),
    ("leave the working directory by ..", Works, "os.listdir('../work-neighbour')"),
    ("read another session's file", Works, "open(NEIGHBOUR + '/file').read()"),
    ("write into another session's directory", Works, "open(NEIGHBOUR + '/new', 'w')"),
    ("list root's home", Maybe, "os.listdir('/root')"),
    (
        "list the host's users' homes",
        Maybe,
        "os.listdir('/home/user') if WORK != '/home/user' else stop('it is its own')",
    ),
    ("write into the image", Works, "open(IMAGE + '/new', 'w')"),
    ("change the image's rights", Works, "os.chmod(IMAGE, 0o777)"),
    ("own a file of the server's", Works, "os.chown(SECRET, os.getuid(), -1)"),
    ("set the time of a file of the server's", Works, "os.utime(SECRET, (0, 0))"),
    ("change rights in the image by a descriptor", Works, "os.fchmod(os.open(IMAGE + '/file', os.O_RDONLY), 0o644)"),
    (
        "own a file of the image by a descriptor",
        Works,
        "os.fchown(os.open(IMAGE + '/file', os.O_RDONLY), os.getuid(), -1)",
    ),
    ("set its time by a descriptor", Works, "os.utime(os.open(IMAGE + '/file', os.O_RDONLY), (0, 0))"),
    (
        "write to its attributes by a descriptor",
        Maybe,
        "os.setxattr(os.open(IMAGE + '/file', os.O_RDONLY), 'user.a', b'x')",
    ),
    ("remove one by a descriptor", Maybe, "os.removexattr(os.open(IMAGE + '/file', os.O_RDONLY), 'user.a')"),
    ("change the rights of a file of the server's", Works, "os.chmod(SECRET, 0o777)"),
    ("the same by a link of its own", Works, "os.symlink(SECRET, 'soft-2'); os.chmod('soft-2', 0o777)"),
    (
        "the same in a folder that a link leads to",
        Works,
        "os.symlink(os.path.dirname(SECRET), 'folder-2'); os.chmod('folder-2/secret', 0o777)",
    ),
    ("the same from its folder", Works, "os.chdir(os.path.dirname(SECRET)); os.chmod('secret', 0o777)"),
    (
        "the same from its folder's descriptor",
        Works,
        "os.chmod('secret', 0o777, dir_fd=os.open(os.path.dirname(SECRET), os.O_PATH))",
    ),
    ("the same by a descriptor that reads nothing", Works, "os.chmod(opened(SECRET, os.O_PATH), 0o777)"),
    ("the same by one's name in /proc", Works, "os.chmod(opened(IMAGE + '/file', os.O_RDONLY), 0o777)"),
    ("change the rights of another session's file", Works, "os.chmod('../work-neighbour/file', 0o777)"),
    ("hard-link a file of the image by a descriptor", Maybe, "link(opened(IMAGE + '/file', os.O_RDONLY), 'hard-2')"),
    ("the same of one that reads nothing", Maybe, "link(opened(SECRET, os.O_PATH), 'hard-3')"),
    ("move a file of the image into its folder", Maybe, "os.rename(IMAGE + '/file', 'moved')"),
    ("move another session's file into its folder", Maybe, "os.rename(NEIGHBOUR + '/file', 'moved-2')"),
    ("write into /usr", Maybe, "open('/usr/new', 'w')"),
    ("write into /etc", Maybe, "open('/etc/new', 'w')"),
    ("write into /", Maybe, "open('/new', 'w')"),
    ("reserve the disk at once", Maybe, "call('fallocate', os.open('room', os.O_RDWR | os.O_CREAT), 0, 0, 1 << 20)"),
    ("the same by ioctl", Maybe, "request(0x4030582a, reservation)"),
    ("the same by its older number", Maybe, "request(0x40305828, reservation)"),
    ("the same with zeros", Maybe, "request(0x40305839, reservation)"),
    ("free it by ioctl", Maybe, "request(0x4030582b, reservation)"),
    ("set a file's flags", Maybe, "request(0x40086602, struct.pack('l', 64))"),
    ("set a file's attributes", Maybe, "request(0x401c5820, struct.pack('IIII12x', 128, 0, 0, 0))"),
    ("the same by its own call", Maybe, "call('file_setattr', -100, b'.', bytes(32), 32, 0)"),
    ("make a snapshot that nobody can remove", Maybe, "request(0x50009417, bytes(4096), '.')"),
    ("keep a key in the file system", Maybe, "request(0xc0506617, bytes(80), '.')"),
    ("have a bridge's module loaded", Maybe, "call('ioctl', pair(socket.SOCK_STREAM)[0].detach(), 0x8940, bytes(64))"),
    (
        "have that of virtual networks loaded",
        Maybe,
        "call('ioctl', pair(socket.SOCK_STREAM)[0].detach(), 0x8982, bytes(64))",
    ),
    ("hold up who opens a file", Maybe, "call('fcntl', os.open('lease', os.O_CREAT | os.O_RDONLY), 1024, 0)"),
    (
        "hold up who changes it",
        Maybe,
        "call('fcntl', os.open('lease', os.O_CREAT | os.O_RDONLY), 1040, struct.pack('IHH', 0, 0, 0))",
    ),
    ("open a file by its number", Maybe, "call('open_by_handle_at', -1, 0, 0)"),
    // Devices and the kernel's own files
    ("make a device", Maybe, "os.mknod('device', stat.S_IFBLK | 0o666, os.makedev(7, 0)); open('device', 'rb')"),
    ("open the machine's memory", Maybe, "open('/dev/mem', 'rb')"),
    ("open the virtual machine device", Maybe, "open('/dev/kvm', 'rb')"),
    ("open the terminal", Maybe, "open('/dev/tty')"),
    ("list the host's network devices", Works, "os.listdir('/sys/class/net')"),
    ("open the kernel's memory", Maybe, "open('/proc/kcore', 'rb')"),
    ("open the panic button", Maybe, "open('/proc/sysrq-trigger', 'w')"),
    ("choose where cores are piped to", Maybe, "open('/proc/sys/kernel/core_pattern', 'w')"),
    ("read the kernel's messages", Maybe, "call('syslog', 3, ctypes.create_string_buffer(64), 64)"),
    // Rights
    ("become root", Maybe, "os.setuid(0)"),
    ("give a file to root", Maybe, "open('mine', 'w'); os.chown('mine', 0, 0)"),
    ("make a set-user-ID file", Works, "os.open('set-id', os.O_CREAT | os.O_WRONLY, 0o4755)"),
    ("the same as a node", Works, "os.mknod('set-id-node', stat.S_IFREG | 0o4755)"),
    ("gain rights by a set-uid program", Works, "libc.prctl(39, 0, 0, 0, 0) and stop('no new privileges')"),
    ("switch its system call filter off", Works, "libc.prctl(21, 0, 0, 0, 0) and stop('it is for good')"),
    ("raise its limits", Maybe, "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))"),
    ("raise its priority", Maybe, "os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) - 1)"),
    (
        "leave its control group",
        Maybe,
        "[open(f'/sys/fs/cgroup/{at}/cgroup.procs', 'w').write('0') for at in ('memory', 'pids', 'unified', '.')]",
    ),
    ("leave a core", Maybe, "resource.getrlimit(4)[1] > 1 or stop('the limit is 1')"),
    (
        "have one piped to the host's helper",
        Maybe,
        "resource.setrlimit(4, (0, 0)); resource.getrlimit(4) == (0, 0) or stop('the limit is 1')",
    ),
    (
        "the same by the older call",
        Works,
        "call('setrlimit', 4, struct.pack('QQ', 0, 0)); resource.getrlimit(4) == (0, 0) or stop('the limit is 1')",
    ),
    // Namespaces and mounts
    ("make a user namespace", Maybe, "call('unshare', 0x10000000)"),
    ("the same by clone", Maybe, "clone(0x10000000)"),
    ("the same by clone3", Maybe, "call('clone3', ctypes.create_string_buffer(88), 88)"),
    ("make a mount namespace", Maybe, "call('unshare', 0x20000)"),
    ("enter another namespace", Maybe, "call('setns', os.open('/proc/self/ns/net', os.O_RDONLY), 0)"),
    ("mount", Maybe, "call('mount', b'none', b'.', b'tmpfs', 0, 0)"),
    ("mount in the newer way", Maybe, "call('fsopen', b'tmpfs', 0)"),
    ("mount a part of another tree", Maybe, "call('open_tree_attr', -100, b'.', 1, 0, 0)"),
    ("unmount", Maybe, "call('umount2', b'/tmp', 2)"),
    ("change the root", Maybe, "os.chroot('.')"),
    ("rename the host", Maybe, "socket.sethostname('mine')"),
    // Other processes
    ("make a child of what started it", Works, "clone(0x8000)"),
    ("give a thread open files of its own", Maybe, "clone(0x10900)"),
    ("the same by closing some", Maybe, "call('close_range', 1 << 20, 1 << 20, 2)"),
    ("signal the server", Works, "os.kill(SERVER, 0)"),
    ("signal another session's program", Works, "os.kill(OTHER, 0)"),
    ("read the server's environment", Works, "open(f'/proc/{SERVER}/environ', 'rb').read(1)"),
    ("open the server's memory", Maybe, "open(f'/proc/{SERVER}/mem', 'rb')"),
    ("list another session's descriptors", Works, "os.listdir(f'/proc/{OTHER}/fd')"),
    ("trace what started it", Maybe, "call('ptrace', 16, PARENT, 0, 0)"),
    ("read the memory of what started it", Maybe, "open(f'/proc/{PARENT}/mem', 'rb')"),
    ("the same by another call", Maybe, "call('process_vm_readv', PARENT, 0, 0, 0, 0, 0)"),
    ("take a descriptor of what started it", Maybe, "call('pidfd_getfd', os.pidfd_open(PARENT), 0, 0)"),
    ("queue a signal for the server", Maybe, "call('rt_sigqueueinfo', SERVER, 0, ctypes.create_string_buffer(128))"),
    (
        "stop what started it",
        Maybe,
        "os.kill(PARENT, 19); [os.sched_yield() for _ in range(1000)]; state(PARENT) == 'T' or stop('it goes on')",
    ),
    ("limit the server", Works, "resource.prlimit(SERVER, 4, resource.prlimit(SERVER, 4))"),
    ("limit what started it", Works, "resource.prlimit(PARENT, 4, resource.getrlimit(4))"),
    ("limit another session's program", Works, "resource.prlimit(OTHER, 4, resource.prlimit(OTHER, 4))"),
    ("slow the server", Works, "os.setpriority(os.PRIO_PROCESS, SERVER, os.getpriority(os.PRIO_PROCESS, SERVER))"),
    ("slow what started it", Works, "os.setpriority(os.PRIO_PROCESS, PARENT, 19)"),
    ("slow what started it by its group", Maybe, "os.setpriority(os.PRIO_PGRP, PARENT, 19)"),
    ("slow all of its user", Maybe, "os.setpriority(os.PRIO_USER, 0, 19)"),
    ("pin the server", Works, "os.sched_setaffinity(SERVER, os.sched_getaffinity(SERVER))"),
    ("pin what started it", Works, "os.sched_setaffinity(PARENT, os.sched_getaffinity(PARENT))"),
    ("put the server on idle", Maybe, "os.sched_setscheduler(SERVER, os.SCHED_IDLE, os.sched_param(0))"),
    ("put what started it on idle", Maybe, "os.sched_setscheduler(PARENT, os.SCHED_IDLE, os.sched_param(0))"),
    ("the same by its parameters", Maybe, "os.sched_setparam(PARENT, os.sched_param(0))"),
    (
        "the same by its attributes",
        Maybe,
        "call('sched_setattr', PARENT, struct.pack('=IIQiIQQQ', 48, 5, 0, 0, 0, 0, 0, 0), 0)",
    ),
    ("delay the disk of what started it", Maybe, "call('ioprio_set', 1, PARENT, 3 << 13)"),
    ("share a core with what started it", Maybe, "call('prctl', 62, 2, PARENT, 0, 0)"),
    ("compare itself with what started it", Maybe, "call('kcmp', PARENT, os.getpid(), 0, 0, 0)"),
    ("move the memory of what started it", Maybe, "call('migrate_pages', PARENT, 0, 0, 0)"),
    (
        "be the last that the kernel ends",
        Maybe,
        "int(open('/proc/self/oom_score_adj').read()) < 500 or open('/proc/self/oom_score_adj', 'w').write('0')",
    ),
    ("use an inherited descriptor", Maybe, "any(is_open(fd) for fd in range(5, 1024)) or stop('there is none')"),
    ("find the server's environment in its own", Maybe, "os.environ['CARGO_MANIFEST_DIR']"),
    // The network
    ("connect to the host's loopback", Works, "socket.create_connection(('127.0.0.1', PORT), 2)"),
    ("connect to a cloud's metadata", Maybe, "socket.create_connection(('169.254.169.254', 80), 1)"),
    ("connect to an abstract socket", Works, "socket.socket(socket.AF_UNIX).connect(b'\\0' + ABSTRACT.encode())"),
    ("connect to a socket in a file", Works, "socket.socket(socket.AF_UNIX).connect(SOCKET)"),
    ("the same from one of a pair", Works, "pair(socket.SOCK_DGRAM)[0].sendto(b'x', DATAGRAM)"),
    ("send raw packets", Maybe, "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"),
    ("read the wire", Maybe, "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)"),
    ("use the kernel's cryptography", Maybe, "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)"),
    ("make a pair of another family", Maybe, "socket.socketpair(30, socket.SOCK_SEQPACKET)"),
    ("speak a protocol that few do", Maybe, "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)"),
    ("the same over IPv6", Maybe, "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, 136)"),
    ("the same by its type", Maybe, "socket.socket(socket.AF_INET, 6, 0)"),
    ("by another type", Maybe, "socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, 0)"),
    ("read the wire in the older way", Maybe, "socket.socket(socket.AF_INET, 10, 0x300)"),
    ("put the kernel's TLS on a connection", Maybe, "socket.socket().setsockopt(socket.IPPROTO_TCP, 31, b'tls')"),
    ("list all sockets", Maybe, "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)"),
    ("change how packets are encrypted", Maybe, "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6)"),
    ("read the kernel's audit", Maybe, "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)"),
    ("change the packet filter", Maybe, "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)"),
    ("call the hypervisor", Maybe, "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)"),
    // Large parts of the kernel
    ("load a program into the kernel", Maybe, "call('bpf', 0, ctypes.create_string_buffer(128), 128)"),
    (
        "measure the kernel",
        Maybe,
        "call('perf_event_open', ctypes.create_string_buffer(b'\\1\\0\\0\\0\\x80', 128), 0, -1, -1, 0)",
    ),
    ("fill the kernel's memory with semaphores", Maybe, "call('semctl', call('semget', 0, 1, 0o600), 0, 0, 0)"),
    ("and with messages", Maybe, "call('msgctl', call('msgget', 0, 0o600), 0, 0)"),
    (
        "and with locks of open files",
        Maybe,
        "call('fcntl', os.open('lock', os.O_CREAT | os.O_RDWR), 37, struct.pack('hhqqi', 1, 0, 0, 1, 0))",
    ),
    ("take the machine's large pages", Maybe, "mmap.mmap(-1, 1 << 21, 0x40022)"),
    ("use io_uring", Maybe, "call('io_uring_setup', 1, ctypes.create_string_buffer(128))"),
    ("use the older kind of it", Maybe, "call('io_setup', 1, ctypes.create_string_buffer(8))"),
    ("fill the kernel's memory with filters of calls", Maybe, "call('seccomp', 1, 0, filter())"),
    ("the same by prctl", Maybe, "call('prctl', 22, 2, filter(), 0, 0)"),
    ("answer its own system calls", Maybe, "call('seccomp', 1, 8, filter())"),
    ("and with filters of packets", Maybe, "pair(socket.SOCK_STREAM)[0].setsockopt(1, 26, filter())"),
    (
        "and with rules of its own",
        Maybe,
        "call('landlock_add_rule', call('landlock_create_ruleset', struct.pack('QQ', 0, 1), 16, 0), 2, \
         struct.pack('QQ', 1, 80), 0)",
    ),
    ("keep a key", Maybe, "call('add_key', b'user', b'a', b'a', 1, -3)"),
    ("read the session's keys", Maybe, "call('keyctl', 0, -3, 0)"),
    ("handle page faults itself", Maybe, "call('userfaultfd', 0)"),
    ("restart the machine", Maybe, "call('reboot', 0, 0, 0, 0)"),
];

pub(crate) const NUMBERS: [(&str, libc::c_long); 42] = [
    ("add_key", libc::SYS_add_key),
    ("bpf", libc::SYS_bpf),
    ("clone", libc::SYS_clone),
    ("clone3", libc::SYS_clone3),
    ("close_range", libc::SYS_close_range),
    ("fallocate", libc::SYS_fallocate),
    ("file_setattr", 469),
    ("fsopen", libc::SYS_fsopen),
    ("ioprio_set", libc::SYS_ioprio_set),
    ("ioctl", libc::SYS_ioctl),
    ("io_setup", libc::SYS_io_setup),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("kcmp", libc::SYS_kcmp),
    ("landlock_add_rule", libc::SYS_landlock_add_rule),
    ("landlock_create_ruleset", libc::SYS_landlock_create_ruleset),
    ("migrate_pages", libc::SYS_migrate_pages),
    ("prctl", libc::SYS_prctl),
    ("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo),
    ("sched_setattr", libc::SYS_sched_setattr),
    ("keyctl", libc::SYS_keyctl),
    ("mount", libc::SYS_mount),
    ("msgctl", libc::SYS_msgctl),
    ("msgget", libc::SYS_msgget),
    ("seccomp", libc::SYS_seccomp),
    ("fcntl", libc::SYS_fcntl),
    ("semctl", libc::SYS_semctl),
    ("semget", libc::SYS_semget),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("ptrace", libc::SYS_ptrace),
    ("reboot", libc::SYS_reboot),
    ("open_tree_attr", 467),
    ("setns", libc::SYS_setns),
    ("setrlimit", libc::SYS_setrlimit),
    ("socket", libc::SYS_socket),
    ("syslog", libc::SYS_syslog),
    ("umount2", libc::SYS_umount2),
    ("unshare", libc::SYS_unshare),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("exit", libc::SYS_exit),
];

pub(crate) const PRELUDE: &str = r"
import ctypes, errno, mmap, os, resource, socket, stat, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
WORK, PARENT = os.getcwd(), os.getppid()
opened = lambda path, flags: '/proc/self/fd/%d' % os.open(path, flags)
link = lambda path, name: os.link(path, name, follow_symlinks=True)
pair = lambda kind: socket.socketpair(socket.AF_UNIX, kind)
state = lambda pid: open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[0]
class Stop(Exception): pass
def stop(why): raise Stop(why)
def call(name, *args):
    args = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *args)
    if result == -1: raise OSError(ctypes.get_errno(), name)
    return result
def request(number, value, path='room'):
    if path == 'room': open(path, 'a').close()
    call('ioctl', os.open(path, os.O_RDONLY if path == '.' else os.O_RDWR), number, value)
reservation = struct.pack('hhxxxxqqiI16x', 0, 0, 0, 1 << 20, 0, 0)
allow_all = ctypes.create_string_buffer(bytes([6, 0, 0, 0, 0, 0, 255, 127]), 8)
def filter(): return struct.pack('HxxxxxxQ', 1, ctypes.addressof(allow_all))
def clone(flags):
    if call('clone', flags | 17, 0, 0, 0, 0) == 0: os._exit(0)
def is_open(fd):
    try: os.fstat(fd)
    except OSError: return False
    return True
def attempt(name, code):
    # In a process of its own: what one attempt changes is not there for the next.
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writer, 1); os.close(reader)
        if writer != 1: os.close(writer)
        try: exec(code, globals()); answer = 'WORKED'
        except Stop as error: answer = str(error)
        except OSError as error: answer = errno.errorcode.get(error.errno, str(error))
        except BaseException as error: answer = type(error).__name__
        os.write(1, answer.encode()); os._exit(0)
    os.close(writer)
    answer = os.read(reader, 1000).decode() or 'killed'
    os.close(reader); os.waitpid(pid, 0)
    print(name, answer, sep='\t', flush=True)
";
