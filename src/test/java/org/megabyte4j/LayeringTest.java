package org.megabyte4j;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

/** Dependencies point one way: see docs/architecture.md. */
@AnalyzeClasses(packages = "org.megabyte4j", importOptions = ImportOption.DoNotIncludeTests.class)
class LayeringTest {
    private static final String ROOT = "org.megabyte4j.";

    @ArchTest
    static final ArchRule layersUseOnlyWhatLiesBelow = layeredArchitecture()
            .consideringOnlyDependenciesInLayers()
            .layer("tensor").definedBy(ROOT + "tensor")
            .layer("backend").definedBy(ROOT + "backend")
            .layer("cpu").definedBy(ROOT + "backend.cpu..")
            .layer("cuda").definedBy(ROOT + "backend.cuda..")
            .layer("ffi").definedBy(ROOT + "ffi..")
            .layer("model").definedBy(ROOT + "model..")
            .layer("checkpoint").definedBy(ROOT + "checkpoint..")
            .optionalLayer("data").definedBy(ROOT + "data..")
            .optionalLayer("train").definedBy(ROOT + "train..")
            .layer("generate").definedBy(ROOT + "generate..")
            .layer("verify").definedBy(ROOT + "verify..")
            .layer("cli").definedBy(ROOT + "cli..")
            .whereLayer("tensor").mayNotAccessAnyLayer()
            .whereLayer("backend").mayOnlyAccessLayers("tensor")
            .whereLayer("ffi").mayNotAccessAnyLayer()
            .whereLayer("cpu").mayOnlyAccessLayers("ffi", "backend", "tensor")
            .whereLayer("cuda").mayOnlyAccessLayers("ffi", "backend", "tensor")
            .whereLayer("model").mayOnlyAccessLayers("backend", "tensor")
            .whereLayer("checkpoint").mayOnlyAccessLayers("model", "backend", "tensor")
            .whereLayer("data").mayOnlyAccessLayers("checkpoint", "tensor")
            .whereLayer("train").mayOnlyAccessLayers("data", "checkpoint", "model", "backend", "tensor")
            .whereLayer("generate").mayOnlyAccessLayers("checkpoint", "model", "backend", "tensor")
            .whereLayer("verify").mayOnlyAccessLayers("train", "generate", "data", "checkpoint", "model", "backend",
                    "tensor")
            .whereLayer("cli").mayNotBeAccessedByAnyLayer()
            .whereLayer("cpu").mayOnlyBeAccessedByLayers("cli")
            .whereLayer("cuda").mayOnlyBeAccessedByLayers("cli");

    @ArchTest
    static final ArchRule packagesHaveNoCycles = slices().matching(ROOT + "(**)").should().beFreeOfCycles();

    @ArchTest
    static final ArchRule everyClassHasItsLayer = classes().should().resideInAnyPackage(ROOT + "tensor",
            ROOT + "backend", ROOT + "backend.cpu..", ROOT + "backend.cuda..", ROOT + "ffi..", ROOT + "model..",
            ROOT + "checkpoint..", ROOT + "data..", ROOT + "train..", ROOT + "generate..", ROOT + "verify..", ROOT + "cli..", "org.megabyte4j");

    @ArchTest
    static final ArchRule onlyFfiCallsNativeCode = noClasses().that().resideOutsideOfPackage(ROOT + "ffi..")
            .should().dependOnClassesThat().haveFullyQualifiedName("java.lang.foreign.Linker")
            .orShould().dependOnClassesThat().haveFullyQualifiedName("java.lang.foreign.SymbolLookup");

    @ArchTest
    static final ArchRule onlyTheCudaBackendUsesJCuda = noClasses().that()
            .resideOutsideOfPackage(ROOT + "backend.cuda..").should().dependOnClassesThat().resideInAPackage("jcuda..");

    @ArchTest
    static final ArchRule onlyTheCpuBackendUsesTheVectorApi = noClasses().that()
            .resideOutsideOfPackage(ROOT + "backend.cpu..")
            .should().dependOnClassesThat().resideInAPackage("jdk.incubator.vector..");

    @ArchTest
    static final ArchRule onlyTheCommandLineParsesArguments = noClasses().that().resideOutsideOfPackage(ROOT + "cli..")
            .should().dependOnClassesThat().resideInAPackage("picocli..");

    @ArchTest
    static final ArchRule onlyMainEndsTheProcess = noClasses().that().doNotHaveFullyQualifiedName(ROOT + "cli.Main")
            .should().callMethod(System.class, "exit", int.class)
            .orShould().callMethod(Runtime.class, "halt", int.class);
}
