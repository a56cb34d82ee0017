package org.megabyte4j.cli;

import java.io.PrintWriter;
import java.lang.management.ManagementFactory;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.cuda.CudaPresence;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.ModelLayout;
import org.megabyte4j.model.Presets;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code megabyte4j info}: what this machine and this build offer. */
@Command(name = "info", description = "Shows the Java, the machine, its GPUs, the device and the presets.")
public final class InfoCommand implements Callable<Integer> {
    private static final String VECTOR_MODULE = "jdk.incubator.vector";

    @Mixin
    private DeviceOptions device;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() {
        try (Backend backend = device.open()) {
            print(spec.commandLine().getOut(), backend);
        }
        return 0;
    }

    private static void print(PrintWriter out, Backend backend) {
        var system = ManagementFactory.getPlatformMXBean(com.sun.management.OperatingSystemMXBean.class);
        row(out, "megabyte4j", Version.ofThisBuild());
        row(out, "Java", Runtime.version() + ", " + System.getProperty("java.vendor") + ", "
                + System.getProperty("java.home"));
        row(out, "system", system.getName() + " " + system.getVersion() + ", " + system.getArch() + ", "
                + system.getAvailableProcessors() + " processors");
        row(out, "memory", PlanReport.rounded(system.getTotalMemorySize()) + ", of which Java objects may take "
                + PlanReport.rounded(Runtime.getRuntime().maxMemory()));
        row(out, "Vector API", ModuleLayer.boot().findModule(VECTOR_MODULE).isPresent() ? "present"
                : "absent; start Java with --add-modules " + VECTOR_MODULE);
        CudaPresence.report().forEach(line -> row(out, line.name(), line.value()));
        row(out, "device " + backend.name(), backend.description());
        out.println();
        out.println("preset            parameters    P   D_G   D_L  T_MAX  global layers, heads  local layers, heads");
        Presets.all().forEach((name, config) -> preset(out, name, config));
    }

    private static void row(PrintWriter out, String name, String value) {
        out.printf("%-11s  %s%n", name, value);
    }

    private static void preset(PrintWriter out, String name, MegabyteConfig config) {
        out.printf(Locale.ROOT, "%-14s %,13d %4d %5d %5d %6d %14d %6d %13d %6d%n", name,
                ModelLayout.of(config).parameterCount(), config.patchSize(), config.globalEmbeddingSize(),
                config.localSize(), config.maxLength(), config.globalLayers(), config.globalHeads(),
                config.localLayers(), config.localHeads());
    }
}
