# SPDX-License-Identifier: MIT
# Each of the lecture's systems returns 0 when what it shows holds. Of those that learn, a short course, the same on
# every machine but for rounding; what they print of themselves must be far from chance: a symbol of 11 and a word of
# many are hit by chance hardly ever, and a pixel alone costs 1.21 bits.
get_property(lecture GLOBAL PROPERTY RILL_LECTURE)
# rill_add_lecture_figures(test system "argument;…" checks…)
function(rill_add_lecture_figures test system arguments)
  if(TARGET lecture_${system})
    add_test(NAME lecture_${test} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/lecture_figures.sh ${ARGN} --
      $<TARGET_FILE:lecture_${system}> ${arguments})
    set_tests_properties(lecture_${test} PROPERTIES TIMEOUT 300 FAIL_REGULAR_EXPRESSION "LeakSanitizer;runtime error:")
  endif()
endfunction()
rill_add_lecture_figures(copy reverse "copy;linear;400" "symbols right > 0.95" "lengths right > 0.9" "words right > 0.8")
rill_add_lecture_figures(copy_softmax reverse "copy;softmax;400" "symbols right > 0.95" "words right > 0.8")
rill_add_lecture_figures(reverse reverse "reverse;linear;300" "symbols right > 0.35" "lengths right > 0.7"
  "words right > 0.1")
rill_add_lecture_figures(complete_digits complete_digits "60" "linear loss < 1.1" "softmax loss < 1.1"
  "linear loss < each pixel alone" "softmax loss < each pixel alone")
rill_add_lecture_figures(speech_or_not speech_or_not ${RILL_EMBEDDED_MODEL} "labels right > 0.9"
  "labels right > always the same label")
rill_add_lecture_figures(who_is_it who_is_it ${RILL_EMBEDDED_MODEL} "right, self-attention pooling > 0.5"
  "weight on speech > time that is speech")
list(REMOVE_ITEM lecture lecture_reverse lecture_complete_digits lecture_speech_or_not lecture_who_is_it)
if(TARGET lecture_who_is_it)
  add_test(NAME lecture_input COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/lecture_input.sh $<TARGET_FILE_DIR:lecture_who_is_it>
    ${RILL_EMBEDDED_MODEL})
  set_tests_properties(lecture_input PROPERTIES FAIL_REGULAR_EXPRESSION "Sanitizer;runtime error:")
endif()
foreach(system IN LISTS lecture)
  set(arguments "")
  if(RILL_SANITIZE AND system STREQUAL lecture_detect_shapes)
    set(arguments 150) # updates, a tenth of its training: how well it finds is for the other builds to say
  endif()
  add_test(NAME ${system} COMMAND ${system} ${arguments})
  set_tests_properties(${system} PROPERTIES TIMEOUT 120 FAIL_REGULAR_EXPRESSION "LeakSanitizer;runtime error:")
endforeach()
