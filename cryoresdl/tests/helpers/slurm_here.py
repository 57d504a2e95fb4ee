"""A SLURM cluster of this one machine: munge, controller and node on loopback, with files in one temporary folder."""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from cryoresdl.tests.helpers.needs import free_ports

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
_SETTINGS = """\
ClusterName=cryoresdl
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=2
# Jobs of seconds must not wait a minute for the next look at the queue.
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
SchedulerTimeSlice=5
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=64000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE OverSubscribe=NO State=UP
"""


class CannotStart(Exception):
    """Why there can be no SLURM on this machine."""


def which(name):
    """Path of a program; those of daemons are not on every user's PATH."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


def absent():
    """Names of the programs that are not on this machine."""
    return [name for name in PROGRAMS if which(name) is None]


class SlurmHere:
    """Starts the daemons, sets SLURM_CONF, and ends what it started."""

    def __init__(self):
        # Sockets have short names, and munge wants folders that nobody else can write to.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.daemons = []
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self):
        folder = self.folder
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o600)
        (folder / "slurm.conf").write_text(
            _SETTINGS.format(
                folder=folder,
                host=socket.gethostname().split(".")[0],
                user=pwd.getpwuid(os.geteuid()).pw_name,
                ports=free_ports(2),
            )
        )
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        options = ("key-file=munge.key", "socket=munge.socket", "pid-file=munge.pid", "seed-file=munge.seed")
        self._daemon(
            "munged", "--foreground", "--force", *("--%s" % o.replace("=", "=%s/" % folder) for o in options)
        )
        self._until(lambda: (folder / "munge.socket").exists())
        self._daemon("slurmctld", "-D", "-c")
        self._daemon("slurmd", "-D", "-c")
        self._until(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T"))

    def _daemon(self, name, *words):
        with open(str(self.folder / (name + ".out")), "wb") as log:
            self.daemons.append(
                subprocess.Popen(
                    [which(name), *words],
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=_end_with_us,
                )
            )

    def _until(self, ready, seconds=30):
        end = time.monotonic() + seconds
        while not ready():
            dead = [process.args[0] for process in self.daemons if process.poll() is not None]
            if dead or time.monotonic() > end:
                raise CannotStart("%s: %s" % (dead[0] if dead else "SLURM is not ready", self.complaint()))
            time.sleep(0.2)

    def complaint(self):
        """The last error in the daemons' logs."""
        lines = []
        for path in sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("*.out")):
            lines += [line for line in path.read_text(errors="replace").splitlines() if "rror" in line]
        return lines[-1] if lines else "no error in the logs"

    def ask(self, *words, **options):
        """What one of SLURM's commands prints."""
        done = subprocess.run([which(words[0]), *words[1:]], capture_output=True, text=True, **options)
        return done.stdout

    def stop(self):
        """Cancel every job and end the daemons."""
        if len(self.daemons) == 3:
            self.ask("scancel", "--user", pwd.getpwuid(os.geteuid()).pw_name)
            end = time.monotonic() + 15
            while self.ask("squeue", "--noheader") and time.monotonic() < end:
                time.sleep(0.2)
        for process in reversed(self.daemons):
            process.terminate()
        for process in self.daemons:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        os.environ.pop("SLURM_CONF", None)
        shutil.rmtree(str(self.folder), ignore_errors=True)


def _end_with_us():
    """A test run that is killed takes the daemons with it (Linux: prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))
