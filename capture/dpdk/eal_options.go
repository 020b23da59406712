package dpdk

import (
	"fmt"
	"strconv"
	"strings"
)

// EALOptions is the configuration of DPDK's Environment Abstraction Layer,
// common to all sources of the process. The zero value runs anywhere: no huge
// pages, no PCI devices, 256 MiB.
type EALOptions struct {
	Hugepages  bool   // use huge pages; else --no-huge: slower, and not for most network cards
	MemoryMiB  int    // MiB of memory; 0: 256 without huge pages, else as needed
	FilePrefix string // prefix of EAL's files, to tell DPDK processes of a machine apart; empty: rte
	InMemory   bool   // no files at all; needs huge pages

	// Lcores is EAL's --lcores list, such as 0-3 or 0@(0-7). Capture runs on the
	// agent's own threads, so lcores matter to drivers with service cores only;
	// empty: one lcore, bound to no CPU in particular.
	Lcores    string
	MainLcore *int // number of the main lcore; nil: the lowest

	PCI   []string // addresses of the PCI devices that EAL may take; empty: no PCI (but see Port.Device)
	Vdevs []string // virtual devices made at start and kept, as in Port.Device
	Args  []string // further EAL arguments, as they are
}

// Validate checks what can be checked without DPDK.
func (o *EALOptions) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("dpdk: eal: %w", fmt.Errorf(format, args...))
	}
	switch {
	case o.MemoryMiB != 0 && (o.MemoryMiB < 16 || o.MemoryMiB > 1<<20):
		return fail("memory %d MiB is not within 16..%d", o.MemoryMiB, 1<<20)
	case o.InMemory && !o.Hugepages:
		return fail("in_memory needs hugepages (without them EAL shares no files anyway)")
	case strings.ContainsAny(o.FilePrefix, "/% \t\n\x00"):
		return fail("file_prefix %q has a slash, a percent sign or white space in it", o.FilePrefix)
	case o.MainLcore != nil && o.Lcores == "":
		return fail("main_lcore %d needs lcores", *o.MainLcore)
	case o.MainLcore != nil && *o.MainLcore < 0:
		return fail("main_lcore %d is negative", *o.MainLcore)
	case strings.ContainsAny(o.Lcores, " \t\n\x00"):
		return fail("lcores %q has white space in it", o.Lcores)
	}
	for _, a := range o.PCI {
		name, _ := deviceName(a)
		if !pciAddress.MatchString(name) {
			return fail("pci %q is no PCI address such as 0000:3b:00.0", a)
		}
	}
	for _, v := range o.Vdevs {
		if err := (&Port{Device: v}).validate(); err != nil {
			return fail("vdevs: %w", err)
		}
		if name, _ := deviceName(v); pciAddress.MatchString(name) {
			return fail("vdevs: %q is a PCI address: it belongs under pci", v)
		}
	}
	for _, a := range o.Args {
		if a == "" || a == "--" || strings.ContainsRune(a, 0) {
			return fail("argument %q is not one that EAL takes", a)
		}
	}
	return nil
}

// args returns EAL's command line, given the CPUs that the process may use;
// without any, no lcores are given unless the options do.
func (o *EALOptions) args(cpus []int) []string {
	a := []string{"confluo-host"}
	memory := o.MemoryMiB
	if !o.Hugepages {
		a = append(a, "--no-huge", "--no-shconf")
		if memory == 0 {
			memory = 256
		}
	}
	if memory != 0 {
		a = append(a, "-m", strconv.Itoa(memory))
	}
	if o.InMemory {
		a = append(a, "--in-memory")
	}
	if o.FilePrefix != "" {
		a = append(a, "--file-prefix="+o.FilePrefix)
	}
	lcores := o.Lcores
	if lcores == "" && len(cpus) != 0 {
		list := make([]string, len(cpus))
		for i, c := range cpus {
			list[i] = strconv.Itoa(c)
		}
		lcores = "0@(" + strings.Join(list, ",") + ")"
	}
	if lcores != "" {
		a = append(a, "--lcores="+lcores)
	}
	if o.MainLcore != nil {
		a = append(a, "--main-lcore="+strconv.Itoa(*o.MainLcore))
	}
	if len(o.PCI) == 0 {
		a = append(a, "--no-pci")
	}
	for _, p := range o.PCI {
		a = append(a, "--allow="+p)
	}
	for _, v := range o.Vdevs {
		a = append(a, "--vdev="+v)
	}
	return append(a, o.Args...)
}
