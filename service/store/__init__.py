"""One store: typed methods over named SQL, thin drivers, group commit.

``driver`` says what a database must do, ``sqlite`` and ``postgres`` do it; ``writer`` lets writes that wait at the same time
share one transaction; ``migrate`` brings a database to this version's tables. Each noun has a module of typed
functions with its SQL beside it.
"""
