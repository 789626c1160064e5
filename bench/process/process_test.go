//go:build linux

package process

import (
	"testing"
	"time"
)

func TestLoopbackOnly(t *testing.T) {
	for address, good := range map[string]bool{
		"http://127.0.0.1:8080": true, "nats://127.0.0.1:4222": true, "http://[::1]:80": true,
		"http://10.0.0.1:80": false, "http://0.0.0.0:80": false, "http://localhost.example:80": false, "127.0.0.1": false, "http://%zz": false, "": false,
	} {
		if err := Loopback(address); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestProc(t *testing.T) {
	used, err := cpuOf("7 (a name) with) S 1 7 7 0 -1 4194560 100 0 0 0 250 30 0 0 20 0 9 0 100 1000 10 1 1 1 0 0 0")
	if err != nil || used != 2800*time.Millisecond {
		t.Errorf("%s %v; want 2.8s", used, err)
	}
	if _, err := cpuOf("7 (short) S 1"); err == nil {
		t.Error("a short line was taken")
	}
	if n, err := kilobytes("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n", "VmRSS:"); err != nil || n != 1<<20 {
		t.Errorf("%d %v", n, err)
	}
	for _, text := range []string{"", "VmRSS:\t1024 MB", "VmRSS:\tx kB"} {
		if n, err := kilobytes(text, "VmRSS:"); err == nil {
			t.Errorf("%q gave %d", text, n)
		}
	}
}

func TestMetrics(t *testing.T) {
	m := MetricsOf("# HELP a b 1\na 1\nb{quantile=\"0.5\"} 2.5e-05\nc NaN?\n\n")
	if len(m) != 2 || m["a"] != 1 || m[`b{quantile="0.5"}`] != 2.5e-05 {
		t.Errorf("%v", m)
	}
}
