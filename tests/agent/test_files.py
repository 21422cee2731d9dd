"""Files of /proc, of pods and of the node: found where they are, bounded, and never a trap."""

import os
from pathlib import Path

import pytest

from bot.agent.discovery import FoundNetns, find_namespaces, find_pinned
from bot.agent.files import read_foreign_text, read_text
from bot.agent.hostfiles import read_cni_binaries, read_cni_files, read_sysctl_files
from bot.agent.netns import Home
from tests.agent.nodes import calico_node, pod_of, uid_of, why_no_namespaces

UID = "0a1b2c3d-0000-4000-8000-00000000000a"


def process(proc: Path, pid: int, netns: str, cgroup: str = "", mountinfo: str = "") -> None:
    """A process of a made-up /proc; namespaces are files, told apart by their inode."""
    folder = proc / str(pid)
    (folder / "ns").mkdir(parents=True)
    target = proc / f"netns-{netns}"
    target.touch()
    os.link(target, folder / "ns/net")
    (folder / "cgroup").write_text(cgroup)
    (folder / "mountinfo").write_text(mountinfo)


@pytest.mark.parametrize(
    "cgroup",
    [
        f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice/cri-x.scope",
        f"12:cpu:/kubepods/besteffort/pod{UID}/0123\n",
        f"0::/../../kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-1.scope",
        f"0::/k3s/kubepods/pod{UID.upper()}/1".lower(),
    ],
)
def test_a_pod_is_found_by_its_uid_in_the_cgroup(tmp_path: Path, cgroup: str):
    home = Home()
    process(tmp_path, 10, "guest", "0::/system.slice/containerd.service")
    process(tmp_path, 11, "pod", cgroup)
    process(tmp_path, 12, "pod", cgroup)
    (tmp_path / "13").mkdir()
    (tmp_path / "self").mkdir()
    found = find_namespaces(home, [UID, uid_of(1)], str(tmp_path))
    home.close()

    assert {netns.uid: netns.pids for netns in found.values()} == {UID: [11, 12], "": [10]}


def test_a_pod_is_found_by_a_guests_neighbour_and_by_its_mounts(tmp_path: Path):
    home = Home()
    mount = f"1 2 0:1 /var/lib/kubelet/pods/{UID}/etc-hosts /etc/hosts rw - ext4 /dev/x rw\n"
    process(tmp_path, 20, "pod", "0::/user.slice")
    process(tmp_path, 21, "pod", "0::/", mount)
    found = find_namespaces(home, [UID], str(tmp_path))
    unwanted = find_namespaces(home, [], str(tmp_path))
    home.close()

    assert [netns.uid for netns in found.values()] == [UID]
    assert [netns.uid for netns in unwanted.values()] == [""]


@pytest.mark.parametrize("inner_pid", [40, 60])
def test_a_namespace_that_a_process_of_the_pod_made_for_itself_is_not_the_pods(tmp_path: Path, inner_pid: int):
    home = Home()
    cgroup = f"0::/kubepods/besteffort/pod{UID}/0123"
    for pid, netns, ticks in ((50, "pod", 700), (55, "pod", 900), (inner_pid, "inner", 8_000)):
        process(tmp_path, pid, netns, cgroup)
        stat = f"{pid} (sh) a (b) S 1 {pid} {pid} 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 {ticks} 4096 1"
        (tmp_path / str(pid) / "stat").write_text(stat)
    found = find_namespaces(home, [UID], str(tmp_path))
    home.close()

    assert [netns.pids for netns in found.values() if netns.uid == UID] == [[50, 55]]


def test_the_nodes_own_namespace_is_no_pods(tmp_path: Path):
    home = Home()
    (tmp_path / "30/ns").mkdir(parents=True)
    (tmp_path / "30/ns/net").symlink_to("/proc/self/ns/net")
    assert find_namespaces(home, [UID], str(tmp_path)) == {}
    home.close()


def test_namespaces_that_only_a_file_keeps_are_found_below_the_nodes_root(tmp_path: Path):
    folder = tmp_path / "run/netns"
    folder.mkdir(parents=True)
    (folder / "cni-1").touch()
    (folder / "cni-2").touch()
    known = (folder / "cni-2").stat().st_ino
    found = list(find_pinned(str(tmp_path), {known: FoundNetns(inode=known, path="")}))

    assert [netns.path for netns in found] == [str(folder / "cni-1")]
    assert list(find_pinned("/nonexistent", {})) == []


def test_a_namespace_whose_process_was_replaced_is_not_opened(tmp_path: Path):
    file = tmp_path / "net"
    file.touch()
    with pytest.raises(OSError, match="its process is gone"):
        FoundNetns(inode=1, path=str(file)).open()


def test_files_of_pods_are_read_bounded_and_pipes_and_links_refused(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"a" * 100 + b"\xff")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/hostname")

    assert read_foreign_text(str(tmp_path / "file"), 50) == "a" * 50
    assert read_text(str(tmp_path / "file")).endswith("\ufffd")
    with pytest.raises(OSError, match="not a regular file"):
        read_foreign_text(str(tmp_path / "pipe"))
    with pytest.raises(OSError, match="symbolic links"):
        read_foreign_text(str(tmp_path / "link"))


def test_cni_files_binaries_and_sysctl_files_are_read_below_the_root(tmp_path: Path):
    conf = tmp_path / "etc/cni/net.d"
    k3s = tmp_path / "var/lib/rancher/k3s/agent/etc/cni/net.d"
    binaries = tmp_path / "opt/cni/bin"
    settings = tmp_path / "etc/sysctl.d"
    for folder in (conf, k3s, binaries, settings):
        folder.mkdir(parents=True)
    (conf / "10-calico.conflist").write_text('{"plugins": [{"type": "calico", "token": "s3cret"}]}')
    (conf / "calico-kubeconfig").write_text("token: s3cret")
    (conf / "99-folder.conf").mkdir()
    (k3s / "10-flannel.conflist").write_text('{"plugins": [{"type": "flannel"}, {"type": "portmap"}]}')
    (binaries / "calico").write_text("")
    (binaries / "calico").chmod(0o755)
    (binaries / "README").write_text("")
    (settings / "90-net.conf").write_text("net.ipv4.conf.all.rp_filter = 2\nvm.swappiness = 1\n")
    (settings / "99-link.conf").symlink_to("/etc/sysctl.conf")
    (tmp_path / "etc/sysctl.conf").write_text("net.ipv4.ip_forward=0\n")

    calico, flannel = read_cni_files(str(tmp_path))
    assert (calico.path, calico.plugins) == ("/etc/cni/net.d/10-calico.conflist", ("calico",))
    assert "s3cret" not in calico.text
    assert calico.age_s is not None
    assert calico.age_s >= 0
    assert (flannel.path, flannel.plugins) == (
        "/var/lib/rancher/k3s/agent/etc/cni/net.d/10-flannel.conflist",
        ("flannel", "portmap"),
    )
    assert read_cni_binaries(str(tmp_path)) == ("/opt/cni/bin/calico",)
    assert read_sysctl_files(str(tmp_path)) == (
        "/etc/sysctl.conf: net.ipv4.ip_forward = 0",
        "/etc/sysctl.d/90-net.conf: net.ipv4.conf.all.rp_filter = 2",
    )


@pytest.mark.lab
@pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces())
class TestOnANode:
    def test_resolv_conf_and_age_are_those_of_the_pods_processes(self):
        with calico_node([{}]) as node:
            pod = pod_of(node.look(node.task(arp_tries=0)), node.pods[0])

            lines = Path("/etc/resolv.conf").read_text().splitlines() if Path("/etc/resolv.conf").is_file() else []
            expected = tuple(line.split()[1] for line in lines if line.startswith("nameserver "))
            assert pod.nameservers == expected or Path("/etc/resolv.conf").is_symlink()
