"""F25: the disk of the logs is full, there is no room for temporary files, or no file."""

import resource

import pytest

from tests.support.harmed import FOLDER, NO_ROOM
from tests.support.model_server import ModelServer
from tests.support.pages import Scrape
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

NAMES = ("bridge0", "worker-m-0")
LATE = "worker-m-1"


class Cramped(System):
    """No folder for temporary files; whoever starts late has no room for its log."""

    def environ_of(self, name):
        nowhere = str(self.root / "nowhere")
        folders = {"TMPDIR": nowhere, "TEMP": nowhere, "TMP": nowhere}
        return folders | (NO_ROOM if name == LATE else {})


def test_processes_whose_logs_have_no_room_start_work_and_stop(tmp_path, kafka):
    with (
        ModelServer() as server,
        Cramped(tmp_path, kafka, server, {"m": 2}, python_path=FOLDER) as system,
    ):
        system.start()
        sizes = {name: len(system.log(name)) for name in NAMES}
        for name in NAMES:
            pid = system.children[name].pid
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        sent = set(system.send("high", 30))
        replies = system.replies.wait_for(sent, 60)
        assert {reply["status"] for reply in replies.values()} == {"completed"}
        eventually(lambda: system.committed("high") == len(sent), timeout_s=30)
        assert {name: len(system.log(name)) for name in NAMES} == sizes
        page = Scrape(system.address("worker-m-0"))
        assert page.sum("agentsched_log_lines_lost_total") > 0
        assert system.stop("worker-m-0") == 0
        system.worker("m", LATE)
        system.wait_for_slots({"m": 2})
        system.replies.wait_for(set(system.send("high", 5)), 60)
        assert system.log(LATE) == ""
        assert {name: system.stop(name) for name in (LATE, "bridge0")} == {
            LATE: 0,
            "bridge0": 0,
        }


@pytest.mark.parametrize("name", ["bridge0", "worker-m-0"])
def test_a_process_without_file_descriptors_goes_on_when_it_has_some(
    tmp_path, kafka, name
):
    with (
        ModelServer(delay_s=0.05) as server,
        System(tmp_path, kafka, server, {"m": 2}) as system,
    ):
        system.start()
        first = set(system.send("high", 10))
        system.replies.wait_for(first, 60)
        child = system.children[name]
        soft, hard = resource.prlimit(child.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (3, hard))
        during = set(system.send("high", 20))
        eventually(lambda: len(system.replies.counts()) > 10, timeout_s=60)
        resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (soft, hard))
        after = set(system.send("high", 20))
        replies = system.replies.wait_for(first | during | after, 90)
        assert {replies[id_]["status"] for id_ in after} == {"completed"}
        assert set(system.replies.counts().values()) == {1}
        assert child.alive
        eventually(lambda: system.committed("high") == 50, timeout_s=30)
