"""Search by meaning: short texts as vectors, and names ranked by how near they are to a query.

Vectors of word pieces, distilled from a small sentence model, lie beside this file: no model runs, nothing is
fetched, and what is found does not depend on the checkpoint in use.
"""

from sarm_core.search.name_index import NameIndex, PreparedNames, best_rows
from sarm_core.search.piece_vectors import PieceVectors, piece_vectors

__all__ = ["NameIndex", "PieceVectors", "PreparedNames", "best_rows", "piece_vectors"]
