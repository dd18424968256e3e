@echo off
rem Registers what runs run.cmd as SYSTEM whenever Windows starts. Made by dib-py.
setlocal EnableExtensions DisableDelayedExpansion
set "SYSTEM32=%SystemRoot%\System32"
set "LOG=%~dp0log.txt"
set "COUNT=0"
:again
"%SYSTEM32%\schtasks.exe" /create /tn dib-firstboot /xml "%~dp0task.xml" /f >>"%LOG%" 2>&1
if "%ERRORLEVEL%"=="0" exit /b 0
set /a COUNT+=1
if %COUNT% geq 6 goto service
"%SYSTEM32%\sc.exe" start Schedule >nul 2>&1
"%SYSTEM32%\ping.exe" -n 6 127.0.0.1 >nul
goto again

:service
rem The scheduler does not answer: a service that ends at once, with what it began going on, does the same.
set "KEY=HKLM\SYSTEM\CurrentControlSet\Services\dib-firstboot"
set "RUN=%ComSpec% /d /c start /b %ComSpec% /d /c %~dp0run.cmd"
"%SYSTEM32%\reg.exe" add %KEY% /v Type /t REG_DWORD /d 16 /f >>"%LOG%" 2>&1
"%SYSTEM32%\reg.exe" add %KEY% /v Start /t REG_DWORD /d 2 /f >>"%LOG%" 2>&1
"%SYSTEM32%\reg.exe" add %KEY% /v ErrorControl /t REG_DWORD /d 0 /f >>"%LOG%" 2>&1
"%SYSTEM32%\reg.exe" add %KEY% /v ObjectName /t REG_SZ /d LocalSystem /f >>"%LOG%" 2>&1
"%SYSTEM32%\reg.exe" add %KEY% /v ImagePath /t REG_EXPAND_SZ /d "%RUN%" /f >>"%LOG%" 2>&1
exit /b %ERRORLEVEL%
