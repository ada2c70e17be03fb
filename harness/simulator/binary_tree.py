"""Binary trees of integers, as the search-tree families draw and list them."""

from __future__ import annotations

from collections.abc import Iterable


class Node:
    __slots__ = ("key", "left", "right")

    def __init__(self, key: int) -> None:
        self.key = key
        self.left: Node | None = None
        self.right: Node | None = None


def add(root: Node | None, key: int) -> Node:
    """The root of the search tree after `key` became a leaf of it."""
    if root is None:
        return Node(key)
    node = root
    while True:
        child = node.left if key < node.key else node.right
        if child is None:
            break
        node = child
    if key < node.key:
        node.left = Node(key)
    else:
        node.right = Node(key)
    return root


def build(keys: Iterable[int]) -> Node | None:
    """The search tree that `keys` make, inserted one after another."""
    root: Node | None = None
    for key in keys:
        root = add(root, key)
    return root


def level_order(root: Node | None) -> tuple[int, ...]:
    """The keys level by level, each level from left to right."""
    nodes = [] if root is None else [root]
    for node in nodes:
        if node.left is not None:
            nodes.append(node.left)
        if node.right is not None:
            nodes.append(node.right)
    return tuple([node.key for node in nodes])


def shape(root: Node | None) -> tuple[int | None, ...]:
    """The keys level by level with None for each missing child of a listed node; no None at the end."""
    keys: list[int | None] = []
    nodes = [root]
    for node in nodes:
        if node is None:
            keys.append(None)
        else:
            keys.append(node.key)
            nodes += (node.left, node.right)
    while keys and keys[-1] is None:
        keys.pop()
    return tuple(keys)
