"""The exercise families, one module each, and the table of them."""

from __future__ import annotations

from harness.simulator.core import Family
from harness.simulator.families.bfs import Bfs
from harness.simulator.families.binary_search import BinarySearch
from harness.simulator.families.bst_delete import BstDelete
from harness.simulator.families.bst_insert import BstInsert
from harness.simulator.families.bst_traversal import BstTraversal
from harness.simulator.families.bubble_sort import BubbleSort
from harness.simulator.families.circular_queue import CircularQueue
from harness.simulator.families.dfs import Dfs
from harness.simulator.families.dijkstra import Dijkstra
from harness.simulator.families.dynamic_array import DynamicArray
from harness.simulator.families.hash_chaining import HashChaining
from harness.simulator.families.hash_probing import HashProbing
from harness.simulator.families.heap import Heap
from harness.simulator.families.insertion_sort import InsertionSort
from harness.simulator.families.linked_list import LinkedList
from harness.simulator.families.merge_sort import MergeSort
from harness.simulator.families.queue import Queue
from harness.simulator.families.quick_partition import QuickPartition
from harness.simulator.families.selection_sort import SelectionSort
from harness.simulator.families.stack import Stack
from harness.simulator.families.topological import Topological
from harness.simulator.families.union_find import UnionFind

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Stack(),
        Queue(),
        CircularQueue(),
        LinkedList(),
        DynamicArray(),
        BinarySearch(),
        BstInsert(),
        BstDelete(),
        BstTraversal(),
        Heap(),
        UnionFind(),
        HashProbing(),
        HashChaining(),
        Bfs(),
        Dfs(),
        Topological(),
        Dijkstra(),
        InsertionSort(),
        SelectionSort(),
        BubbleSort(),
        MergeSort(),
        QuickPartition(),
    )
}
