# SPDX-License-Identifier: MIT
# Tests of the rill program: program_NAME.sh PROGRAM MAKE_AUDIO MODEL; exit code 77 is skipped.
if(NOT TARGET rill_program)
  return()
endif()
pkg_check_modules(sndfile REQUIRED IMPORTED_TARGET sndfile)
add_executable(make_audio make_audio.c)
target_link_libraries(make_audio PRIVATE rill_flags PkgConfig::sndfile m)

function(rill_add_program_test name)
  add_test(NAME program_${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/program_${name}.sh $<TARGET_FILE:rill_program>
    $<TARGET_FILE:make_audio> ${RILL_EMBEDDED_MODEL})
  set_tests_properties(program_${name} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77
    FAIL_REGULAR_EXPRESSION "LeakSanitizer;AddressSanitizer;runtime error:;ThreadSanitizer" ${ARGN})
endfunction()

foreach(name usage input output resume rate latency speakers embed eval display bench)
  rill_add_program_test(${name})
endforeach()
set_property(TEST program_bench APPEND PROPERTY ENVIRONMENT "RILL_SANITIZE=${RILL_SANITIZE}")
set_property(TEST program_bench PROPERTY TIMEOUT 600) # 140 s under ThreadSanitizer where nothing else runs
rill_add_program_test(live RUN_SERIAL ON)
# A copy of a recording at another rate tells the same turns: needs recordings of voices.
if(NOT RILL_SANITIZE)
  add_test(NAME program_copies COMMAND ${PROJECT_SOURCE_DIR}/scripts/score-copies ${RILL_SHARED}/data/conv/dev
    ${RILL_SHARED}/data/conv/test)
  set_tests_properties(program_copies PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77
    ENVIRONMENT "RILL=$<TARGET_FILE:rill_program>")
endif()
# Parts of the program, each with the files it is made of.
function(rill_add_part_test name)
  list(TRANSFORM ARGN PREPEND ${PROJECT_SOURCE_DIR}/demos/rill/ OUTPUT_VARIABLE parts)
  rill_add_test(${name} ${name}.c PkgConfig::criterion PkgConfig::jansson)
  target_sources(${name} PRIVATE ${parts})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/demos/rill)
endfunction()
if(NOT RILL_SANITIZE MATCHES thread)
  pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson)
  rill_add_part_test(program_text text.c)
  rill_add_part_test(program_turn_log turn_log.c message.c text.c)
  rill_add_part_test(program_activity activity.c)
  rill_add_part_test(program_prompt prompt.c text.c)
  rill_add_part_test(program_figures bench_curve.c bench_form.c bench_inputs.c bench_job.c bench_limits.c bench_race.c)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/demos/rill/bench_limits.c PROPERTIES
    COMPILE_OPTIONS "${RILL_WIDE_VECTOR_OPTIONS}")
  set_tests_properties(program_figures PROPERTIES RUN_SERIAL ON)
endif()

add_test(NAME example_01_attention COMMAND 01_attention)
set(talk ${CMAKE_CURRENT_BINARY_DIR}/talk.wav)
add_test(NAME example_02_makes_talk COMMAND make_audio talk ${talk} 16000 1 10)
add_test(NAME example_02_who_is_speaking COMMAND 02_who_is_speaking ${RILL_EMBEDDED_MODEL} ${talk})
set_tests_properties(example_02_makes_talk PROPERTIES FIXTURES_SETUP talk)
set_tests_properties(example_02_who_is_speaking PROPERTIES FIXTURES_REQUIRED talk PASS_REGULAR_EXPRESSION "s  S1  ")
add_test(NAME example_03_fork_a_state COMMAND 03_fork_a_state ${RILL_EMBEDDED_MODEL})
