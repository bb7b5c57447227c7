"""link: a Secret that istiod closed goes and comes back; one that holds another cluster too does not go."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
OF_NHN, OF_NCLOUD = "istio-remote-secret-nhn-nks", "istio-remote-secret-ncloud-nks"


def refused(mesh: Mesh) -> str:
    """kt's kubeconfig of nhn with a program to run, which istiod rejects."""
    document = yaml.safe_load(base64.b64decode(mesh["kt"].get("Secret", OF_NHN, SYSTEM)["data"]["nhn-nks"]))
    document["users"][0]["user"]["exec"] = {"command": "aws"}
    return base64.b64encode(json.dumps(document).encode()).decode()


def test_a_secret_in_which_another_cluster_is_well_is_never_absent(installed: Mesh) -> None:
    kt = installed["kt"]
    well = kt.get("Secret", OF_NCLOUD, SYSTEM)
    data = {"nhn-nks": refused(installed), **well["data"]}
    kt.delete(well)
    kt.edit(kt.get("Secret", OF_NHN, SYSTEM), lambda copy: copy.update(data=data))
    installed.settle()
    installed.run("link").exits(0)
    assert {one.method for one in kt.faults.writes if one.path.endswith(f"/{OF_NHN}")} == {"PATCH"}
    assert kt.get("Secret", OF_NHN, SYSTEM)["data"]["ncloud-nks"] == well["data"]["ncloud-nks"]
    assert kt.get("Secret", OF_NHN, SYSTEM)["data"]["nhn-nks"] != data["nhn-nks"]


def test_a_secret_comes_back_only_once_istiod_has_seen_it_go(installed: Mesh) -> None:
    kt = installed["kt"]
    kt.edit(kt.get("Secret", OF_NHN, SYSTEM), lambda copy: copy.update(data={"nhn-nks": refused(installed)}))
    installed.settle()
    known: list[bool] = []
    installed.when(
        f"PATCH .*/secrets/{OF_NHN}$",
        lambda: known.extend("nhn-nks" in one.remotes for one in kt.istiods.running()),
    )
    installed.run("link").exits(0)
    assert known == [False]
