package main

const description = `Captures the header of every packet of this host, keeps them in memory, and answers questions about them.

Exit codes: 0 success, 1 failure, 2 the command line or an expression in it is not understood.`

// grammar is the command line.
type grammar struct {
	Run        runCmd        `cmd:"" help:"Run the agent."`
	Check      checkCmd      `cmd:"" help:"Check configuration files."`
	Query      queryCmd      `cmd:"" help:"Show headers."`
	Count      countCmd      `cmd:"" help:"Count headers."`
	Export     exportCmd     `cmd:"" help:"Write headers to a capture file."`
	Filter     filterCmd     `cmd:"" help:"Install, remove and list filters."`
	Index      indexCmd      `cmd:"" help:"Install, remove and list indexes."`
	Aggregate  aggregateCmd  `cmd:"" help:"Evaluate, install, remove and list aggregates."`
	Trigger    triggerCmd    `cmd:"" help:"Install, remove and list triggers."`
	Alerts     alertsCmd     `cmd:"" help:"Show alerts."`
	Status     statusCmd     `cmd:"" help:"Show the pipeline, stage by stage."`
	Snapshot   snapshotCmd   `cmd:"" help:"Take, release and list snapshots."`
	Reload     reloadCmd     `cmd:"" help:"Make the agent read its configuration again."`
	Bench      benchCmd      `cmd:"" help:"Measure the speed of this machine."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print the completion script of a shell."`
}
