"""What each page of the dashboard says, computed from the tenant's own marts, scores and files.

Belongs here: one module per page with its SQL over the store and pure functions over the rows it gives. Sums
of money are integers throughout, so they equal the mart's to the micro-unit. Does not belong here: HTTP
(`report_routes`), the shapes of the answers (`report_views`), or how rows are stored (`mart_store`).
"""
