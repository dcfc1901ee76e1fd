"""Import this before pyarrow: Arrow then shares the C library's heap, as `lean_process` has everything else do.

Arrow chooses its heap once, when it is loaded; a heap set later serves Python's calls alone, and what Parquet's writer
takes stays with Arrow's own: door and lander held 380 MB under full load instead of 397-420.
"""

from __future__ import annotations

from resources.library_environment import share_the_c_heap_with_arrow

share_the_c_heap_with_arrow()
