package chdb

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// defaultMemory is half of the memory that this process may use: the smaller of
// the machine's and its control group's limit. It is 0, which leaves the choice
// to the engine (90 % of the machine), where neither can be read.
func defaultMemory() uint64 {
	available := machineMemory()
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64) // "max" is no limit
		if err == nil && limit > 0 && (available == 0 || limit < available) {
			available = limit
		}
	}
	return available / 2
}

// machineMemory reads MemTotal, in bytes, or 0 where there is no /proc.
func machineMemory() uint64 {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer file.Close() //nolint:errcheck // only read
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 && fields[0] == "MemTotal:" {
			kib, err := strconv.ParseUint(fields[1], 10, 64)
			if err != nil {
				return 0
			}
			return kib * 1024
		}
	}
	return 0
}
