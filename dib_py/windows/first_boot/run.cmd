@echo off
rem Runs the scripts beside it, each once, in the order of their names. Made by dib-py.
rem
rem   scripts       what is still to be run; done, failed: what has been
rem   environment   variables for scripts, each deleted with its script's end
rem   log.txt       what they said, with their exit codes
rem   complete.txt  is written when nothing is left to be done
rem
rem A script's exit code says how it went:
rem   0     done
rem   3010  done; Windows restarts when all scripts have run
rem   1001  done; Windows restarts now
rem   1641  done; an installer is restarting Windows
rem   1002  it is run again at the next start, whenever that is
rem   1003  it is run again, after a restart now
rem   other it failed: it is tried again after a pause, a few times, then the next one runs

setlocal EnableExtensions DisableDelayedExpansion
set "HERE=%~dp0"
set "LOG=%HERE%log.txt"
set "SYSTEM32=%SystemRoot%\System32"
set "TRIES=3"
set "PAUSE=30"
set "STARTS=20"
set "SERIAL="
if exist "%HERE%settings.cmd" call "%HERE%settings.cmd"
cd /d "%HERE%"
for %%d in (done failed tries) do if not exist %%d mkdir %%d

call :await_setup
if errorlevel 1 goto later
set "RESTART="
set "STOP="
for /f "delims=" %%s in ('dir /b /a-d /on scripts 2^>nul') do call :script "%%s"
if defined STOP goto stopped
if defined RESTART goto restart
set "LEFT="
for /f "delims=" %%s in ('dir /b /a-d scripts 2^>nul') do set "LEFT=1"
if defined LEFT goto later

"%SYSTEM32%\schtasks.exe" /delete /tn dib-firstboot /f >nul 2>&1
"%SYSTEM32%\reg.exe" delete HKLM\SYSTEM\CurrentControlSet\Services\dib-firstboot /f >nul 2>&1
if exist environment rmdir /s /q environment
rmdir /s /q tries
>complete.new echo complete
for /f "delims=" %%s in ('dir /b /a-d /on failed 2^>nul') do >>complete.new echo failed %%s
move /y complete.new complete.txt >nul
call :say complete
exit /b 0

:stopped
if "%STOP%"=="wait" goto later
:restart
call :say restarts
"%SYSTEM32%\shutdown.exe" /r /t 0
exit /b 0

:later
call :say goes on at the next start
exit /b 0

rem -- one script: until it is done, or has failed too often
:script
if defined STOP exit /b 0
set "NAME=%~1"
set "COUNT=0"
if exist "tries\%NAME%.txt" set /p COUNT=<"tries\%NAME%.txt"
:attempt
set /a COUNT+=1
>"tries\%NAME%.txt" echo %COUNT%
call :say %NAME% begins, try %COUNT%
call :execute
set "CODE=%ERRORLEVEL%"
call :say %NAME% ended with %CODE%
if "%CODE%"=="0" goto is_done
if "%CODE%"=="3010" set "RESTART=1"& goto is_done
if "%CODE%"=="1001" set "STOP=restart"& goto is_done
if "%CODE%"=="1641" set "STOP=wait"& goto is_done
if "%CODE%"=="1002" goto again
if "%CODE%"=="1003" goto again
if %COUNT% geq %TRIES% goto is_failed
if not "%PAUSE%"=="0" call :wait %PAUSE%
goto attempt

:again
if %COUNT% geq %STARTS% goto is_failed
if "%CODE%"=="1003" set "STOP=restart"
exit /b 0

:is_done
move /y "scripts\%NAME%" "done\%NAME%" >nul
goto tidy

:is_failed
call :say %NAME% has failed
move /y "scripts\%NAME%" "failed\%NAME%" >nul

:tidy
if exist "environment\%NAME%.cmd" del /f /q "environment\%NAME%.cmd"
if exist "tries\%NAME%.txt" del /f /q "tries\%NAME%.txt"
if not exist "scripts\%NAME%" exit /b 0
rem it can't be moved: deleted at least, it does not run for ever
del /f /q "scripts\%NAME%"
exit /b 0

:execute
setlocal
if exist "environment\%NAME%.cmd" call "environment\%NAME%.cmd"
set "DIB_FIRSTBOOT=%HERE%"
if /i "%NAME:~-4%"==".ps1" goto powershell
"%ComSpec%" /d /c "%HERE%scripts\%NAME%" >>"%LOG%" 2>&1 <nul
exit /b %ERRORLEVEL%
:powershell
"%SYSTEM32%\WindowsPowerShell\v1.0\powershell.exe" -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File "%HERE%scripts\%NAME%" >>"%LOG%" 2>&1 <nul
exit /b %ERRORLEVEL%

rem -- while Setup is at work Windows must not be restarted; an error after half an hour of that
:await_setup
set "COUNT=0"
:setup_again
set "BUSY="
for /f "tokens=3" %%v in ('%SYSTEM32%\reg.exe query HKLM\SYSTEM\Setup /v SystemSetupInProgress 2^>nul') do set "BUSY=%%v"
if not "%BUSY%"=="0x1" exit /b 0
set /a COUNT+=1
if %COUNT% gtr 180 exit /b 1
call :wait 10
goto setup_again

:wait
"%SYSTEM32%\ping.exe" -n %1 127.0.0.1 >nul
exit /b 0

:say
>>"%LOG%" echo %DATE% %TIME% %*
if defined SERIAL >"\\.\%SERIAL%" echo dib-firstboot: %*
exit /b 0
