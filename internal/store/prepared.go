package store

import (
	"context"
	"database/sql/driver"

	"modernc.org/sqlite"
)

// kept is how many statements a connection to SQLite keeps prepared. The product has some 200 texts; the inserts of
// several rows add one for each number of rows.
const kept = 256

// preparing opens connections to SQLite that keep the statements they have prepared: preparing is about half of the work
// of a small statement. PostgreSQL's driver does the same by itself. database/sql's own prepared statements cannot be
// used: preparing one inside a transaction waits for a second connection, and there is one that writes.
type preparing struct{ driver.Connector }

func newPreparing(dsn string) (driver.Connector, error) {
	c, err := sqlite.NewConnector(dsn)
	return preparing{c}, err
}

// Connect opens a connection.
func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{sqliteConn: c.(sqliteConn), statements: map[string]*statement{}}, nil
}

// sqliteConn is what database/sql asks of a connection and the driver's gives; what this package does not change is
// passed on by being embedded.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// conn is a connection with its prepared statements, by text. Only one goroutine at a time uses a connection.
type conn struct {
	sqliteConn
	statements map[string]*statement
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// statement is a prepared one; it is busy as long as rows of it are read.
type statement struct {
	sqliteStmt
	busy bool
}

// ExecContext runs a statement, prepared before if it can be.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	return s.ExecContext(ctx, args)
}

// QueryContext runs a query, prepared before if it can be.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	found, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return &rows{Rows: found, of: s}, nil
}

// statement gives the prepared statement of a text; nil if its rows are still being read, as in a query within the loop
// over another.
func (c *conn) statement(ctx context.Context, query string) (*statement, error) {
	if s := c.statements[query]; s != nil {
		if s.busy {
			return nil, nil
		}
		return s, nil
	}
	prepared, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if len(c.statements) >= kept {
		c.drop()
	}
	s := &statement{sqliteStmt: prepared.(sqliteStmt)}
	c.statements[query] = s
	return s, nil
}

// drop forgets some statement that is not in use: any will do, as all of a run's fit.
func (c *conn) drop() {
	for query, s := range c.statements {
		if !s.busy {
			delete(c.statements, query)
			_ = s.Close() // gives the error of its last use once more
			return
		}
	}
}

// Close closes the connection, and what it had prepared before it.
func (c *conn) Close() error {
	for _, s := range c.statements {
		_ = s.Close()
	}
	clear(c.statements)
	return c.sqliteConn.Close()
}

// rows frees its statement for the next use.
type rows struct {
	driver.Rows
	of *statement
}

// Close ends the reading.
func (r *rows) Close() error {
	err := r.Rows.Close()
	r.of.busy = false
	return err
}
