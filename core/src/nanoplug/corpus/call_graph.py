"""How far each piece of a project is above those that need nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import networkx as nx


def levels(edges: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """The level of every key: 0 for one that needs nothing, else 1 + the highest level among what it needs.

    Those of a cycle count as one, so they share a level, and a key that needs itself is not above itself. Edges to what
    is no key do not count.
    """
    graph = nx.DiGraph()
    graph.add_nodes_from(edges)
    graph.add_edges_from((key, other) for key, others in edges.items() for other in others if other in edges)
    condensed = nx.condensation(graph)
    of_component: dict[int, int] = {}
    for component in reversed(list(nx.topological_sort(condensed))):
        below = (of_component[other] for other in condensed.successors(component))
        of_component[component] = 1 + max(below, default=-1)
    return {key: of_component[component] for key, component in condensed.graph["mapping"].items()}
