package app

// Adopt puts the configuration in force, as a reload does.
func (a *App) Adopt() { a.adopt(a.cfg) }
