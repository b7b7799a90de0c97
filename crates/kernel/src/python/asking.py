# Asking over the control channel for what a program reads.

import _thread
import os
import select

from _agb.control import CONTROL_IN, control, interrupts, quote


class Bell:
    """Wakes who waits in a thread when the run ends."""

    def __init__(self):
        self.ear, self.button = os.pipe()
        os.set_blocking(self.button, False)
        control.when_closed.append(self.ring)

    def ring(self):
        try:
            os.write(self.button, b"!")
        except BlockingIOError:
            pass  # it rings

    def wait(self):
        """Waits until something has come from the server, or a run has ended; true for the first."""
        poll = select.poll()
        poll.register(CONTROL_IN, select.POLLIN)
        poll.register(self.ear, select.POLLIN)
        ready = [fd for fd, _ in poll.poll()]
        if self.ear in ready:
            os.read(self.ear, 1 << 16)
            return False
        return True


bell = None


def ask(nonce, prompt, password):
    """What comes, and whether that was the last. A password is not to be shown where it is typed."""
    global bell
    members = '"prompt":%s,"password":%s' % (quote(prompt), "true" if password else "false")
    waits = interrupts.main_thread != _thread.get_ident()
    with control.asking:  # and not the channel's lock: others may show what they have meanwhile
        if nonce != control.nonce or not control.tell("input", members):
            return "", True
        if waits and bell is None:
            bell = Bell()
        while True:
            while waits and not control.has_message():
                has_come = bell.wait()
                if nonce != control.nonce:
                    return "", True
                if has_come:
                    control.read()
            message = control.receive()
            if message["type"] == "run" and message["nonce"] != nonce:
                return "", True  # this is for the main thread
            control.take()
            if message["type"] == "stdin" and message["nonce"] == nonce:
                return message["data"], message["eof"]
