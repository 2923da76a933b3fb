"""Runs inside diskimage-builder: keeps the finished root tree instead of copying it into a block device.

`elements/mailimg-layer` calls this module where DIB asks for a block device. DIB then works on as if one was there;
at the very end, after the last hook and the last unmount, and only if all went well, it calls `cleanup` of each node
of its block-device graph: ours moves the tree to where the layer store wants it.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from diskimage_builder.block_device.blockdevice import BlockDeviceState
from diskimage_builder.block_device.plugin import NodeBase


class KeepTree(NodeBase):  # type: ignore[misc]
    """The one node of the graph; pickled by `main`, called by DIB's own process later."""

    def __init__(self, tree: Path, target: Path) -> None:
        super().__init__("mailimg_tree", {})
        self.tree = tree
        self.target = target

    def get_edges(self) -> tuple[list[str], list[str]]:
        return [], []

    def create(self) -> None:
        """Nothing to create: the tree is there."""

    def cleanup(self) -> None:
        """Hand over the tree; DIB calls this only when the whole run succeeded."""
        self.tree.rename(self.target)


def main(build_dir: Path, target: Path) -> None:
    """Answer DIB's block-device stage.

    DIB has renamed `mnt` to `built` and would now copy `built/*` into a mounted device at `mnt`; renaming it back
    leaves that copy with nothing but an empty directory.

    Args:
        build_dir: DIB's TMP_BUILD_DIR.
        target: where the finished tree goes; must not exist, on the same file system.
    """
    tree = build_dir / "mnt"
    (build_dir / "built").rename(tree)
    # The copy also copies the mode of what it finds: /tmp must stay open to all.
    empty = build_dir / "built" / "tmp"
    empty.mkdir(parents=True)
    empty.chmod(0o1777)

    state_dir = build_dir / "states" / "block-device"
    state_dir.mkdir(parents=True, exist_ok=True)
    state = BlockDeviceState()
    state["blockdev"] = {"image0": {"image": str(build_dir / "no-image"), "device": "none"}}
    state.save_state(str(state_dir / "state.json"))
    with (state_dir / "nodes.pickle").open("wb") as stream:
        pickle.dump([KeepTree(tree, target)], stream)


if __name__ == "__main__":
    # DIB unpickles by module name: run as `__main__`, the class would be found nowhere.
    from mailimg import dib_tree

    dib_tree.main(Path(sys.argv[1]), Path(sys.argv[2]))
