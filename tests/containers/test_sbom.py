"""What `make sbom` lists is what is in the image."""

import json
import re
from pathlib import Path

from tests.containers.images import REPOSITORY, Images
from tests.containers.podman import Podman, run_program
from tests.servers.process import program


def test_the_list_has_what_is_in_the_image(podman: Podman, images: Images, tmp_path: Path) -> None:
    settings = {**podman.environment, "ENGINE": podman.program, "TAG": images.serving.rpartition(":")[2]}
    command = [str(REPOSITORY / "deploy/docker/sbom.sh"), program("syft"), str(tmp_path), "serving"]
    done = run_program(command, settings, 300.0)
    assert done.returncode == 0, done.stderr
    listed = json.loads((tmp_path / "martlet-serving.cdx.json").read_text())
    assert listed["bomFormat"] == "CycloneDX"
    versions = {one["name"].lower(): one.get("version", "") for one in listed["components"]}
    pinned = re.findall(r"^(\S+)==(\S+)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)
    exact = dict(pinned)
    for name in ("onnxruntime", "grpcio", "numpy", "uvloop"):
        assert versions[name] == exact[name]
    assert "libc6" in versions, "the base's packages are listed, too"
    assert "martlet" in versions
    assert "torch" not in versions
