package org.megabyte4j.examples;

import java.nio.file.Path;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.checkpoint.ModelFiles;
import org.megabyte4j.generate.GeneratedId;
import org.megabyte4j.generate.Generation;
import org.megabyte4j.generate.GenerationRequest;
import org.megabyte4j.generate.GenerationState;
import org.megabyte4j.generate.Generator;
import org.megabyte4j.generate.IdListener;
import org.megabyte4j.model.Parameters;

public final class ResumeText {
    public static void main(String[] args) {
        Path model = Path.of(args[0]);
        Path file = Path.of(args[1]);                   // where the state goes
        var request = GenerationRequest.of("Today is", 100).withStopAtEos(false);

        try (Backend backend = CpuBackend.open();
                Parameters parameters = ModelFiles.load(model, backend, System.err::println);
                Generator generator = new Generator(backend, parameters, 1, request.length())) {
            try (Generation generation = generator.start(request)) {
                for (int i = 0; i < 10 && generation.hasNext(); i++) {
                    GeneratedId next = generation.next();
                    System.err.println(next.id());      // 0 to 255 are bytes
                }
                generation.save(file);
            }
            try (GenerationState state = GenerationState.open(file); Generation rest = generator.resume(state)) {
                System.out.println("Today is" + rest.run(IdListener.SILENT).getFirst().text());
            }
        }
    }
}
