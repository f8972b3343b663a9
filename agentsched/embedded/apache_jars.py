"""Owns where Apache Kafka's jars lie on this machine; Maven brings them, once.

It starts no Kafka.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agentsched.errors import EmbeddedError

POM = Path(__file__).with_name("apache_pom.xml")
JARS_MB = 43
"""What Kafka 4.3.1 and its libraries take (measured)."""
PROGRESS_S = 0.5
MAVEN_TIMEOUT_S = 900.0
MEGABYTE = 1_000_000


class ApacheKafkaUnavailable(EmbeddedError):  # noqa: N818
    """This machine cannot run Apache Kafka; the text says what is missing."""


def kafka_jars(report: Callable[[str], None]) -> Path:
    """Return the folder with Kafka's jars, filled by Maven once per machine; blocks.

    `AGENTSCHED_KAFKA_JARS` names a folder that has them already.

    Args:
        report: is told how far the download is.

    Raises:
        ApacheKafkaUnavailable: no Java, no Maven, or no jars to be had.
    """
    if not shutil.which("java"):
        raise ApacheKafkaUnavailable(
            "Apache Kafka needs `java` 17 or later, and there is none here"
            " (Debian: apt-get install default-jre-headless)"
        )
    if given := os.environ.get("AGENTSCHED_KAFKA_JARS"):
        return Path(given)
    folder = Path.home() / ".cache" / "agentsched-kafka-jars"
    stamp = folder / "pom.xml"
    if stamp.is_file() and stamp.read_bytes() == POM.read_bytes():
        return folder
    _download(folder, report)
    return folder


def _download(folder: Path, report: Callable[[str], None]) -> None:
    maven = shutil.which("mvn")
    if not maven:
        raise ApacheKafkaUnavailable(
            f"no `mvn` here to get Apache Kafka's jars ({JARS_MB} MB; Debian:"
            " apt-get install maven), and AGENTSCHED_KAFKA_JARS names no folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A folder of its own first: two runs at once must not see each other's half.
    fresh = Path(tempfile.mkdtemp(prefix="agentsched-kafka-jars-", dir=folder.parent))
    try:
        _run_maven(maven, fresh, report)
        shutil.copy(POM, fresh / "pom.xml")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _run_maven(maven: str, target: Path, report: Callable[[str], None]) -> None:
    command = [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    options = [f"-DoutputDirectory={target}", "-DincludeScope=runtime"]
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(  # noqa: S603  (the path that `which` found)
            [*command, *options], stdout=output, stderr=output, stdin=subprocess.DEVNULL
        ) as running,
    ):
        deadline = time.monotonic() + MAVEN_TIMEOUT_S
        while running.poll() is None:
            if time.monotonic() > deadline:
                running.kill()
            report(f"Apache Kafka's jars: {_megabytes(target)} of {JARS_MB} MB")
            try:
                running.wait(PROGRESS_S)
            except subprocess.TimeoutExpired:
                continue
        if running.returncode:
            output.seek(0)
            said = output.read().decode("utf-8", "replace")[-500:]
            raise ApacheKafkaUnavailable(f"Maven got no jars: {said}")


def _megabytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.jar")) // MEGABYTE
